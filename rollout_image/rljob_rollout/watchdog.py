"""Ends a worker whose event loop is stuck, so that it is replaced."""

import asyncio
import faulthandler
import os
import sys
import threading
import traceback

import structlog

from rljob.telemetry.role import write_reason

log = structlog.get_logger()

_TICK_SECONDS = 1.0
_STILL_TICKS = 60
# C code that holds the GIL stops the watching thread, too.
_LOCKED_SECONDS = 120.0
_STDERR = 2


class Watchdog:
    """Watches the main thread's event loop from its own thread.

    Time is counted in ticks of that thread, so a process that was suspended and resumes is not
    ended.
    """

    def __init__(self, still_ticks: int = _STILL_TICKS) -> None:
        """
        Args:
            still_ticks: seconds for which the event loop may be stuck.
        """
        self._still_ticks = still_ticks
        self._alive = threading.Event()
        self._closed = threading.Event()
        self._main = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    async def run(self) -> None:
        """Watches until cancelled."""
        self._main = threading.get_ident()
        _limit_lock()
        self._thread.start()
        try:
            while True:
                self._alive.set()
                await asyncio.sleep(_TICK_SECONDS)
        finally:
            self._closed.set()
            self._thread.join()
            faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        still = 0
        while not self._closed.wait(_TICK_SECONDS):
            _limit_lock()
            still = 0 if self._alive.is_set() else still + 1
            self._alive.clear()
            if still > self._still_ticks:
                self._end()

    def _end(self) -> None:
        frame = sys._current_frames()[self._main]
        stack = "".join(traceback.format_stack(frame))
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_name}"
        seconds = round(self._still_ticks * _TICK_SECONDS)
        reason = f"the worker's event loop has stood still for {seconds} s: {place}"
        log.error("worker.stands_still", reason=reason, stack=stack)
        write_reason(reason)
        os._exit(1)


def _limit_lock() -> None:
    """Ends the process unless this is called again in time; from C, which does not need the GIL."""
    faulthandler.dump_traceback_later(_LOCKED_SECONDS, exit=True, file=_STDERR)
