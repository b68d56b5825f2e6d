"""Orphans: processes that a role started and left behind."""

import contextlib
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path

_KILL_SECONDS = 2.0


def kill_children(besides: Collection[int] = ()) -> None:
    """Kill every child of this process and, as it adopts them, their descendants.

    Only for a process that is a subreaper (`lifeline.adopt_orphans`). Linux only.

    Args:
        besides: pids of children that are still needed.
    """
    deadline = time.monotonic() + _KILL_SECONDS
    while (children := _children(os.getpid()) - set(besides)) and time.monotonic() < deadline:
        for pid in children:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
        time.sleep(_KILL_SECONDS / 100)


def _children(parent: int) -> set[int]:
    return {
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if _parent_of(path) == parent
    }


def _parent_of(stat: Path) -> int | None:
    try:
        # "pid (name) state parent ..."; the name may contain any character.
        return int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None
