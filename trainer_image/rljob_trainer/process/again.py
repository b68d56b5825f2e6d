"""Runs the launcher in a pod, and restarts it in place if another pod ended it.

The kubelet would count a failure, and wait longer before each restart. This process also handles
signals at once, while the launcher takes seconds to import torch.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from rljob.telemetry.child import Child, exit_code

AGAIN = os.EX_TEMPFAIL  # exit code of a launcher whose ranks another pod has ended
_LAUNCHER = (sys.executable, "-m", "rljob_trainer.process.launcher")


def run_again(log_file: Path, command: Sequence[str] = _LAUNCHER) -> int:
    """Run a command, and run it again while it asks for that; returns the last exit code.

    Args:
        log_file: what the command prints is appended to it, besides being printed.
        command: the command.
    """
    file = _opened(log_file)

    def keep(line: bytes) -> None:
        if file is not None:
            with suppress(OSError):  # the volume may be full: the pod's own log has it all
                file.write(line)

    child = Child(keep)
    while True:
        code = child.run(command)
        if child.stop is not None and code in (AGAIN, -child.stop):
            return 0  # it had saved already, or had nothing to save yet
        if code != AGAIN:
            return exit_code(code)


def _opened(log_file: Path) -> BinaryIO | None:
    """The log on the volume, which outlives the pod; None if the volume does not take it."""
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        return log_file.open("ab", buffering=0)
    except OSError:
        return None
