"""Interruption by Ctrl-C or SIGTERM."""

import signal
from collections.abc import Callable
from types import FrameType


class Interruption:
    """The first signal requests a stop; the second one calls `at_second`, which forces it."""

    def __init__(self) -> None:
        self.requested = False
        self._at_second: Callable[[], None] | None = None

    def listen(self, at_second: Callable[[], None]) -> None:
        """Install the signal handlers. Main thread only.

        Args:
            at_second: called at the second and any later signal, inside the handler.
        """
        self._at_second = at_second
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested and self._at_second is not None:
            self._at_second()
        self.requested = True
