"""The wish to stop, as SIGTERM brings it."""

import signal
import threading
from types import FrameType


class StoppedError(Exception):
    """Raised where the trainer waits, once it was asked to stop: nothing is half done then."""


class StopFlag:
    """Set by SIGTERM or SIGINT; looked at wherever the trainer waits or a batch ends."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def listen(self) -> "StopFlag":
        """Takes the signals over. Main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        return self

    def check(self) -> None:
        """Raises `StoppedError` once a stop was asked for."""
        if self._event.is_set():
            raise StoppedError

    def wait(self, seconds: float) -> None:
        """Sleeps, but wakes up for a stop and raises `StoppedError`."""
        self._event.wait(seconds)
        self.check()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._event.set()
