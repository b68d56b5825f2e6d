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
_STOP_SECONDS = 10.0  # to end in order once the supervisor is gone


def follow(supervisor: int) -> None:
    """Ends this process in order once `supervisor` is gone, and by force 10 s later.

    The force reaches the whole process group where this process leads it: helpers that a role has
    started go with it. Linux only; elsewhere nothing is done.

    Args:
        supervisor: pid of a parent or an ancestor.
    """
    if sys.platform != "linux":
        return
    # The kernel tells at once where the supervisor is the parent; the thread below sees to the
    # rest: a supervisor that had gone before this line, and a process that does not listen.
    end_with_parent()
    try:
        handle: int | None = os.pidfd_open(supervisor)
    except ProcessLookupError:
        handle = None
    threading.Thread(target=_watch, args=(handle,), name="lifeline", daemon=True).start()


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Has the kernel send this process a signal when its parent ends. Linux only."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, number)


def hold(run_dir: Path) -> None:
    """Keeps other runs out of a run directory for as long as this process lives.

    Raises:
        BlockingIOError: another run has the directory already; this process came too late.
    """
    descriptor = os.open(run_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    # The lock goes with the open file, which stays open to the end of the process.
    lock(descriptor, fcntl.LOCK_SH)


def lock(descriptor: int, operation: int) -> None:
    """Takes a lock on an open file (LOCK_SH or LOCK_EX), also where someone only tests it.

    Raises:
        BlockingIOError: it could not be had within a second.
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
    """Makes this process the parent of its descendants whose own parent has died. Linux only."""
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
