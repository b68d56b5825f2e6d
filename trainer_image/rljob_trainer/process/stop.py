"""Requests to stop, by SIGTERM or SIGINT."""

import signal
import time
from types import FrameType

_SLICE_SECONDS = 0.1


class StoppedError(Exception):
    """Raised where the trainer waits, once a stop was requested; no work is half done then."""


class StopFlag:
    """Set by SIGTERM or SIGINT; checked wherever the trainer waits and after each batch.

    A plain flag, not an event: a signal handler that takes a lock could deadlock with the main
    thread that holds it.
    """

    def __init__(self) -> None:
        self._is_set = False

    def listen(self) -> "StopFlag":
        """Installs the signal handlers. Main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        return self

    def check(self) -> None:
        """Raises `StoppedError` if a stop was requested."""
        if self._is_set:
            raise StoppedError

    def wait(self, seconds: float) -> None:
        """Sleeps, but raises `StoppedError` as soon as a stop is requested."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, _SLICE_SECONDS))
        self.check()

    def wait_for_it(self) -> None:
        """Sleeps until a stop is requested."""
        while not self._is_set:
            time.sleep(_SLICE_SECONDS)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._is_set = True
