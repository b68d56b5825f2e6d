"""Until when this operator may write: a clock that every write asks."""

import asyncio
import math
import time
from collections.abc import Callable

_LOOK_SECONDS = 0.5


class NotLeadingError(Exception):
    """A write was not sent, because another operator may lead by now."""


class Leadership:
    """The time for which this operator leads.

    Invariant: whenever `check` passes, no other operator may take the Lease yet. So the time counts
    from before the Lease's renewal was sent, on a monotonic clock, and ends before the Lease does.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """It does not lead.

        Args:
            clock: monotonic clock, in seconds.
        """
        self._clock = clock
        self._until = -math.inf
        self._led = False

    def now(self) -> float:
        """The time, for `extend`."""
        return self._clock()

    def extend(self, until: float) -> None:
        """It leads until then; `math.inf`: for good, because it is the only operator."""
        self._until = until
        self._led = True

    def end(self) -> None:
        """It leads no longer."""
        self._until = -math.inf

    def holds(self) -> bool:
        """Whether it leads."""
        return self._clock() < self._until

    def check(self) -> None:
        """Raise NotLeadingError unless it leads."""
        if not self.holds():
            raise NotLeadingError("the Lease was not renewed in time")

    async def wait_until_lost(self) -> None:
        """Return once it has led and no longer does."""
        while not self._led or self.holds():
            await asyncio.sleep(_LOOK_SECONDS)
