"""Runs the launcher in a pod: again where another pod has ended it, without the kubelet.

The kubelet would count a failure, and wait longer before each restart. It also hears a signal at
once, while the launcher imports torch for seconds.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

from rljob.telemetry import lifeline

AGAIN = os.EX_TEMPFAIL  # exit code of a launcher whose ranks another pod has ended
_LAUNCHER = (sys.executable, "-m", "rljob_trainer.launcher")


class Again:
    """Starts a command, hands signals on to it, and starts it again while it asks for that."""

    def __init__(self, command: Sequence[str] = _LAUNCHER) -> None:
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._stop: int | None = None  # the signal that was received

    def run(self) -> int:
        """Exit code of the last one; main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        while True:
            self._child = subprocess.Popen(
                self._command,
                preexec_fn=lifeline.end_with_parent,  # noqa: PLW1509 - no other thread runs
            )
            if self._stop is not None:  # it came while there was no child
                self._child.send_signal(self._stop)
            code = self._child.wait()
            if self._stop is not None and code in (AGAIN, -self._stop):
                return 0  # nothing was to be saved any more, or yet
            if code != AGAIN:
                return code if code >= 0 else 128 - code

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stop = number
        if self._child is not None:
            self._child.send_signal(number)  # nothing happens if it has ended
