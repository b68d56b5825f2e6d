"""The wish to stop, as SIGTERM brings it."""

import signal
import time
from types import FrameType

_SLICE_SECONDS = 0.1


class StoppedError(Exception):
    """Raised where the trainer waits, once it was asked to stop: nothing is half done then."""


class StopFlag:
    """Set by SIGTERM or SIGINT; looked at wherever the trainer waits or a batch ends.

    A plain flag: a handler that takes a lock, as that of an event, can meet the main thread
    holding it.
    """

    def __init__(self) -> None:
        self._is_set = False

    def listen(self) -> "StopFlag":
        """Takes the signals over. Main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        return self

    def check(self) -> None:
        """Raises `StoppedError` once a stop was asked for."""
        if self._is_set:
            raise StoppedError

    def wait(self, seconds: float) -> None:
        """Sleeps, but wakes up for a stop and raises `StoppedError`."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, _SLICE_SECONDS))
        self.check()

    def wait_for_it(self) -> None:
        """Sleeps until a stop is asked for."""
        while not self._is_set:
            time.sleep(_SLICE_SECONDS)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._is_set = True
