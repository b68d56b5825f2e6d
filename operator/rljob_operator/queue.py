"""The work queue: keys of jobs that are due, each once, in order, with back-off after errors."""

import asyncio
import heapq
import random
import time
from collections import OrderedDict
from collections.abc import Callable

FIRST_BACKOFF = 1.0  # s
LONGEST_BACKOFF = 60.0  # s


def _spread() -> float:
    """Factor of a back-off, so that what failed together is not tried again together."""
    return random.uniform(0.8, 1.0)  # noqa: S311 - no secret


def backoff(failures: int, jitter: Callable[[], float] = _spread) -> float:
    """Seconds until the next try after so many failures in a row: 1, doubled each time, at most 60.

    Args:
        failures: from 1.
        jitter: factor of the back-off.
    """
    return min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 16)) * jitter()


class WorkQueue:
    """Hands out each key once at a time, in the order in which keys became due.

    A key that is queued already is not queued twice; one that is added while it is processed is
    processed again afterwards. A key has at most one delay, the earliest requested; it is cancelled
    when the key is handed out, because that pass sets a new one. After a failure a key is not
    handed out before its back-off is over, except after `forget`.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = _spread,
    ) -> None:
        """Create an empty queue.

        Args:
            clock: monotonic clock, in seconds.
            jitter: factor of each back-off.
        """
        self._clock = clock
        self._jitter = jitter
        self._ready: OrderedDict[str, float] = OrderedDict()  # key to when it became due
        self._working: set[str] = set()
        self._due: dict[str, float] = {}
        self._timers: list[tuple[float, str]] = []  # heap; entries that differ from `_due` are void
        self._failures: dict[str, int] = {}
        self._held: dict[str, float] = {}  # key to the end of its back-off
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """Number of keys that are due and not being processed."""
        self._collect()
        return sum(key not in self._working for key in self._ready)

    def add(self, key: str, delay: float = 0.0) -> None:
        """Request a pass over a key, after a delay in seconds."""
        now = self._clock()
        due = max(now + delay, self._held.get(key, now))
        if key in self._ready or self._due.get(key, float("inf")) <= due:
            return
        if due > now:
            self._due[key] = due
            heapq.heappush(self._timers, (due, key))
        else:
            self._due.pop(key, None)
            self._ready[key] = now
        self._wake.set()

    def take(self) -> tuple[str, float] | None:
        """The key that has waited longest, and the seconds that it waited; None: none is due."""
        self._collect()
        key = next((key for key in self._ready if key not in self._working), None)
        if key is None:
            return None
        since = self._ready.pop(key)
        self._due.pop(key, None)
        self._held.pop(key, None)
        self._working.add(key)
        return key, self._clock() - since

    async def get(self) -> tuple[str, float]:
        """Wait until `take` returns a key; for one caller at a time."""
        while True:
            taken = self.take()
            if taken is not None:
                return taken
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), self._pause())
            except TimeoutError:
                continue

    def done(self, key: str, requeue: float | None = None) -> None:
        """Finish a key after success; `requeue`: seconds until its next pass."""
        self._failures.pop(key, None)
        self._end(key)
        if requeue is not None:
            self.add(key, requeue)

    def failed(self, key: str, at_least: float = 0.0) -> float:
        """Finish a key after a failure; it is handed out again after a back-off.

        Args:
            key: the key that was processed.
            at_least: seconds that the server asked to wait.

        Returns:
            Seconds of the back-off.
        """
        self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(at_least, backoff(self._failures[key], self._jitter))
        self._held[key] = self._clock() + delay
        self._ready.pop(key, None)
        self._due.pop(key, None)
        self._end(key)
        self.add(key, delay)
        return delay

    def forget(self, key: str) -> None:
        """Reset a key's delay and failures: its job was changed or deleted."""
        for memory in (self._due, self._failures, self._held):
            memory.pop(key, None)

    def _end(self, key: str) -> None:
        self._working.discard(key)
        self._wake.set()

    def _collect(self) -> None:
        """Move keys whose delay is over to the ready queue."""
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            due, key = heapq.heappop(self._timers)
            if self._due.get(key) == due:
                del self._due[key]
                self._ready.setdefault(key, due)

    def _pause(self) -> float | None:
        """Seconds until the next delay ends; None: there is none."""
        while self._timers and self._due.get(self._timers[0][1]) != self._timers[0][0]:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - self._clock()) if self._timers else None
