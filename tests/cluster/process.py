"""A program of the control plane as a child process that ends with this process."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from rljob.telemetry import lifeline

_LAST_CHARACTERS = 3000


class Process:
    """May be started again after it was killed; its output is appended to one log.

    It must be started from a thread that lives as long as it should: the kernel ends it with the
    thread that started it.
    """

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self._command = command
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._child is not None
        return self._child.pid

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C at a terminal reaches a whole process group; this one is stopped in order.
                start_new_session=True,
                preexec_fn=lifeline.end_with_parent,  # noqa: PLW1509
            )

    def kill(self) -> None:
        """Ends it at once, as a crash does."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def terminate(self, number: int, seconds: float) -> int:
        """Sends a signal; the exit code, TimeoutExpired where there is none in time."""
        assert self._child is not None
        self._child.send_signal(number)
        code = self._child.wait(seconds)
        self._child = None
        return code

    def check(self) -> None:
        """Fails with the log's last lines if the process has ended by itself."""
        if self._child is not None and self._child.poll() is not None:
            tail = self._log.read_text(errors="replace")[-_LAST_CHARACTERS:]
            raise RuntimeError(f"{self._log.stem} ended with {self._child.returncode}:\n{tail}")
