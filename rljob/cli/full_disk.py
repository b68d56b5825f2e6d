"""A full disk, reported in one line that says what to free."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rljob.errors import UsageError

_CODES = (errno.ENOSPC, errno.EDQUOT)
_SIGN = "No space left on device"
_WHAT = "free some, e.g. old checkpoints, logs and runs, and run the same command again"


def is_full(error: OSError) -> bool:
    """Whether a full disk or an exceeded quota caused an error."""
    return error.errno in _CODES


def tells_of_full_disk(lines: list[str]) -> bool:
    """Whether a role's last lines are about a full disk."""
    return any(_SIGN in line for line in lines)


def has_no_space(run_dir: Path) -> bool:
    """Whether the run's disk is full now: a role that can't write can't report that either."""
    return os.statvfs(run_dir).f_bavail == 0


def advice(run_dir: Path) -> str:
    """The message for the user, with what to do."""
    return f"{run_dir}: no space left on its disk; {_WHAT}"


@contextmanager
def told(run_dir: Path) -> Iterator[None]:
    """Turn the error of a full disk into a UsageError with a one-line message."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise UsageError(advice(run_dir)) from error
