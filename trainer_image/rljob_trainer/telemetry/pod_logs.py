"""Keeps the output of the other roles' pods on the run volume, where `rljob logs` reads it."""

import re
import shutil
import threading
from contextlib import suppress
from pathlib import Path

from rljob.buffer.log_stream import LogReceiver, Output
from rljob.plan.environment import ROLES

_EVERY_SECONDS = 2.0
_FILE_BYTES = 8 * 2**20  # then a file is kept as FILE.1, and a new one begun
_MOST_PODS = 100  # of a role; those that were written to last stay
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_ENGINE = b"engine "  # begins the lines that a worker passes on for its engine


class PodLogs:
    """Fetches output and appends it to files, in a thread.

    The layout is that of `rljob run`: `logs/pods/ROLE/NAME/stdout.log`, and `logs/engine-NAME.log`.
    """

    def __init__(self, run_dir: Path, receiver: LogReceiver) -> None:
        """
        Args:
            run_dir: the run directory.
            receiver: where the output comes from.
        """
        self._logs = run_dir / "logs"
        self._receiver = receiver
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pod-logs", daemon=True)

    def start(self) -> None:
        """Begin to fetch."""
        self._thread.start()

    def close(self) -> None:
        """Fetch once more, and stop."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._receiver.close()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            self._fetch()
        self._fetch()

    def _fetch(self) -> None:
        while outputs := self._receiver.fetch():
            for output in outputs:
                with suppress(OSError):  # a full volume stops checkpoints, which is told there
                    self._write(output)

    def _write(self, output: Output) -> None:
        # They are names of files, and come from over the network.
        if output.role not in ROLES or not _NAME.fullmatch(output.member):
            return
        lines = output.text.splitlines(keepends=True)
        own = b"".join(line for line in lines if not line.startswith(_ENGINE))
        engine = b"".join(line[len(_ENGINE) :] for line in lines if line.startswith(_ENGINE))
        if own:
            directory = self._logs / "pods" / output.role / output.member
            if not directory.exists():
                _prune(directory.parent)
            _append(directory / "stdout.log", own)
        if engine:
            _append(self._logs / f"engine-{output.member}.log", engine)


def _append(file: Path, text: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as opened:
        if opened.tell() < _FILE_BYTES:
            opened.write(text)
            return
    file.replace(file.with_name(f"{file.name}.1"))
    file.write_bytes(text)


def _prune(directory: Path) -> None:
    """Make room for one more pod among those of a role, with the logs of its engine."""
    if not directory.is_dir():
        return
    oldest_first = sorted(directory.iterdir(), key=lambda each: each.stat().st_mtime)
    for old in oldest_first[: max(0, len(oldest_first) - _MOST_PODS + 1)]:
        shutil.rmtree(old, ignore_errors=True)
        for engine in directory.parent.parent.glob(f"engine-{old.name}.log*"):
            engine.unlink(missing_ok=True)
