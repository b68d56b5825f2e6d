"""Measures where a rollout batch's wall time goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds per stage since the last `read`."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._began = time.monotonic()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the time inside the block as `name`."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.monotonic() - began

    def read(self) -> dict[str, float]:
        """Seconds by stage, and "total", since the last read; then starts over."""
        now = time.monotonic()
        seconds = {**self._seconds, "total": now - self._began}
        self._seconds = {}
        self._began = now
        return seconds
