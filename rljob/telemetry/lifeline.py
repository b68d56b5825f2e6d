"""Processes that must not outlive the one that started the run."""

import ctypes
import fcntl
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

LOCK_FILE = "lock"  # in the run directory; its exclusive lock is the right to start roles
_PR_SET_PDEATHSIG = 1  # of Linux's prctl.h
_PR_SET_CHILD_SUBREAPER = 36
_LOCK_SECONDS = 1.0
_STOP_SECONDS = 10.0  # for a clean exit once the supervisor is gone


def follow(supervisor: int) -> None:
    """Terminate this process (SIGTERM) once `supervisor` has died, and kill it 10 s later.

    If this process leads its process group, the whole group is killed, with all helpers that the
    role has started. Linux only; elsewhere it does nothing.

    Args:
        supervisor: pid of a parent or an ancestor.
    """
    if sys.platform != "linux":
        return
    # If the supervisor is the parent, the kernel signals its death at once. The thread below covers
    # the other cases: a supervisor that died earlier, and a process that ignores the signal.
    end_with_parent()
    try:
        handle: int | None = os.pidfd_open(supervisor)
    except ProcessLookupError:
        handle = None
    threading.Thread(target=_watch, args=(handle,), name="lifeline", daemon=True).start()


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send this process a signal when its parent ends. Linux only."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, number)


def hold(run_dir: Path) -> None:
    """Lock a run directory against other runs for as long as this process lives.

    Raises:
        BlockingIOError: another run holds the directory.
    """
    descriptor = os.open(run_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    # The lock belongs to the open file, which stays open until the process ends.
    lock(descriptor, fcntl.LOCK_SH)


def lock(descriptor: int, operation: int) -> None:
    """Take a lock on an open file (LOCK_SH or LOCK_EX), retrying in case another only tests it.

    Raises:
        BlockingIOError: the lock was held by another for a second.
    """
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOCK_SECONDS / 20)


def adopt_orphans() -> None:
    """Make this process the parent of orphaned descendants (subreaper). Linux only."""
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _watch(handle: int | None) -> None:
    if handle is not None:
        poll = select.poll()
        poll.register(handle, select.POLLIN)  # readable once the process has ended
        poll.poll()
        os.close(handle)
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_STOP_SECONDS)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
