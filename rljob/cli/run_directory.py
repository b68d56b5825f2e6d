"""The run directory: its lock, its job, and where its logs are."""

import fcntl
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rljob.api import RLJob
from rljob.api.same_run import FIXED, forbidden_changes
from rljob.errors import UsageError
from rljob.ledger.begun import has_begun
from rljob.telemetry import lifeline
from rljob.telemetry.lifeline import LOCK_FILE

# Roles stop by themselves within this time if their supervisor was killed.
_PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class Attempt:
    """One start of a run.

    Args:
        pid: process id of `rljob run`.
        began: unix seconds.
        logs: directory of the roles' logs.
        status_url: the trainer's /status.
    """

    pid: int
    began: float
    logs: str
    status_url: str


class RunDirectory:
    """The run directory as the command line sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def job_file(self) -> Path:
        """Path of the resolved job."""
        return self.path / "job.json"

    @property
    def report(self) -> Path:
        """Path of the HTML report."""
        return self.path / "report.html"

    def lock(self) -> None:
        """Lock the directory until this process ends.

        Waits up to 15 s for the roles of a run whose `rljob run` was killed.

        Raises:
            UsageError: another run uses the directory, or it can't be created.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UsageError(f"run directory {self.path}: {error.strerror}") from error
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return lifeline.lock(self._lock, fcntl.LOCK_EX)
            except BlockingIOError:
                attempt = self.attempt()
                alive = attempt is not None and _is_alive(attempt.pid)
                if alive or time.monotonic() > deadline:
                    raise self._in_use_by(attempt) from None

    def share(self) -> None:
        """Share the lock with the roles: the directory is in use until the last one has ended."""
        assert self._lock is not None
        lifeline.lock(self._lock, fcntl.LOCK_SH)

    def in_use(self) -> bool:
        """Whether a run is active in the directory."""
        try:
            descriptor = os.open(self.path / LOCK_FILE, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def check_job(self, job: RLJob, fixed: Sequence[str] = FIXED) -> None:
        """Raise UsageError if the directory holds a run that can't continue with this job.

        `fixed` are the fields that may not differ.
        """
        before = self._read(self.job_file)
        if before is None or not has_begun(self.path):
            return
        try:
            changes = forbidden_changes(RLJob.model_validate(before), job, fixed)
        except ValueError as error:
            message = f"{self.job_file}: not a job that this version of rljob reads: {error}"
            raise UsageError(message) from error
        if changes:
            listed = "\n".join(f"  {change}" for change in changes)
            raise UsageError(
                f"run directory {self.path} holds a run of another job; start a new one with "
                f"--run-dir, or undo these changes:\n{listed}"
            )

    def write_job(self, job: RLJob, manifest: Path) -> None:
        """Save the manifest as given, and the resolved job for the roles."""
        self._write("job.yaml", manifest.read_bytes())
        self._write("job.json", job.model_dump_json(by_alias=True, indent=2).encode() + b"\n")

    def write_attempt(self, attempt: Attempt) -> None:
        """Save where the logs and the status of a start are."""
        self._write("run.json", json.dumps(asdict(attempt), indent=2).encode() + b"\n")

    def attempt(self) -> Attempt | None:
        """The last start; None if there was none."""
        values = self._read(self.path / "run.json")
        return Attempt(**values) if values else None

    def _in_use_by(self, attempt: Attempt | None) -> UsageError:
        user = f"`rljob run` with pid {attempt.pid}" if attempt else "another process"
        return UsageError(
            f"run directory {self.path} is in use by {user}; stop it, or choose another directory "
            "with --run-dir"
        )

    def _write(self, name: str, content: bytes) -> None:
        """Write a file atomically: a reader may open it at any time."""
        partial = self.path / f"{name}.partial"
        partial.write_bytes(content)
        partial.replace(self.path / name)

    @staticmethod
    def _read(path: Path) -> dict[str, Any] | None:
        try:
            values = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        return values if isinstance(values, dict) else None


def existing(path: Path) -> RunDirectory:
    """The directory of a run that has been started before.

    Raises:
        UsageError: there is no run at `path`.
    """
    directory = RunDirectory(path)
    if not directory.job_file.is_file():
        raise UsageError(f"{path}: found no run (no job.json), allowed a run directory")
    return directory


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
