"""A child process that a role's main process runs: signals are handed on, and its output read."""

import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO

from rljob.telemetry import lifeline

_LAST_OUTPUT_SECONDS = 2.0
_LAST_LINES = 200
_BEFORE = b"--- the last lines of this container before its restart:\n"
_AFTER = b"--- restarted\n"


class Child:
    """Runs commands, one after the other; what they print is printed, and given to `keep`.

    From its creation on SIGTERM and SIGINT are handed on. Main thread only.

    The kubelet keeps the log of a pod's last container alone, and restarts one that has failed at
    once. So the last lines of a failure are left in the pod's temporary directory, and printed by
    the container that comes next.
    """

    def __init__(self, keep: Callable[[bytes], None]) -> None:
        """
        Args:
            keep: called with each line of output, its line break included, in a thread.
        """
        self._left = Path(tempfile.gettempdir()) / "rljob-last-output"
        self._print_left()
        self._last: deque[bytes] = deque(maxlen=_LAST_LINES)
        self.stop: int | None = None  # the signal that was received last
        self._keep = keep
        self._process: subprocess.Popen[bytes] | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        """Run a command to its end; returns its code, negative if a signal killed it.

        Args:
            command: program and arguments.
            environment: all environment variables; None: those of this process.
        """
        # The thread that reads the output, and all that it calls, begins after the fork.
        process = self._process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=lifeline.end_with_parent,  # noqa: PLW1509 - see above
        )
        if self.stop is not None:  # it came while there was no child
            process.send_signal(self.stop)
        assert process.stdout is not None
        copy = threading.Thread(target=self._copy, args=(process.stdout,), daemon=True)
        copy.start()
        code = process.wait()
        copy.join(_LAST_OUTPUT_SECONDS)  # a process of the child's may still hold the pipe
        with suppress(OSError):
            if code != 0:
                self._left.write_bytes(b"".join(self._last))
            else:
                self._left.unlink(missing_ok=True)  # an earlier failure is over
        return code

    def _print_left(self) -> None:
        with suppress(OSError):
            lines = self._left.read_bytes()
            self._left.unlink()
            sys.stdout.buffer.write(_BEFORE + lines + _AFTER)
            sys.stdout.buffer.flush()

    def _copy(self, output: IO[bytes]) -> None:
        for line in output:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            self._last.append(line)
            self._keep(line)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.stop = number
        if self._process is not None:
            self._process.send_signal(number)  # nothing happens if it has ended


def exit_code(code: int) -> int:
    """The exit code, as shells and Kubernetes have it, of a process that ended with `code`."""
    return code if code >= 0 else 128 - code
