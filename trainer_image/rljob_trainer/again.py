"""Runs the launcher in a pod, and restarts it in place if another pod ended it.

The kubelet would count a failure, and wait longer before each restart. This process also handles
signals at once, while the launcher takes seconds to import torch.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import IO, BinaryIO

from rljob.telemetry import lifeline

AGAIN = os.EX_TEMPFAIL  # exit code of a launcher whose ranks another pod has ended
_LAST_OUTPUT_SECONDS = 2.0
_LAUNCHER = (sys.executable, "-m", "rljob_trainer.launcher")


class Again:
    """Starts a command, hands signals on to it, and starts it again while it asks for that."""

    def __init__(self, log_file: Path, command: Sequence[str] = _LAUNCHER) -> None:
        """
        Args:
            log_file: what the command prints is appended to it, besides being printed.
            command: the command.
        """
        self._log_file = log_file
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
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                preexec_fn=lifeline.end_with_parent,  # noqa: PLW1509 - no other thread runs
            )
            if self._stop is not None:  # it came while there was no child
                self._child.send_signal(self._stop)
            assert self._child.stdout is not None
            copy = threading.Thread(target=self._copy, args=(self._child.stdout,), daemon=True)
            copy.start()
            code = self._child.wait()
            copy.join(_LAST_OUTPUT_SECONDS)  # a process of the child's may still hold the pipe
            if self._stop is not None and code in (AGAIN, -self._stop):
                return 0  # it had saved already, or had nothing to save yet
            if code != AGAIN:
                return code if code >= 0 else 128 - code

    def _copy(self, output: IO[bytes]) -> None:
        """Prints it, and keeps it on the volume, which outlives the pod, if that takes it."""
        with ExitStack() as stack:
            file: BinaryIO | None = None
            with suppress(OSError):
                self._log_file.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(self._log_file.open("ab", buffering=0))
            for line in output:
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
                if file is not None:
                    with suppress(OSError):
                        file.write(line)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stop = number
        if self._child is not None:
            self._child.send_signal(number)  # nothing happens if it has ended
