"""Waits for conditions, with a time limit, instead of for a fixed time."""

import time
from collections.abc import Callable


def wait_for(
    condition: Callable[[], bool], what: str, seconds: float = 60, *, every: float = 0.05
) -> None:
    """Returns once the condition holds; fails after `seconds`, saying what did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(every)  # between two checks, not for the condition to come true
