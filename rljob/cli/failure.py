"""The failure of a run's last start, kept for `rljob status`."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE_NAME = "failure.json"


@dataclass(frozen=True)
class Failure:
    """The end of a start that failed.

    Args:
        message: what happened, and the reason if it is known.
        code: exit code of `rljob run`.
        time: unix seconds.
    """

    message: str
    code: int
    time: float = field(default_factory=time.time)


def write_failure(run_dir: Path, failure: Failure) -> None:
    """Save a failure; an error here, e.g. a full disk, must not hide the failure itself."""
    try:
        (run_dir / FILE_NAME).write_text(json.dumps(asdict(failure), indent=2) + "\n")
    except OSError:
        forget_failure(run_dir)  # it may be incomplete


def read_failure(run_dir: Path) -> Failure | None:
    """The failure of the last start; None if it did not fail."""
    try:
        return Failure(**json.loads((run_dir / FILE_NAME).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def forget_failure(run_dir: Path) -> None:
    """Remove the failure of the last start, as a new start does."""
    (run_dir / FILE_NAME).unlink(missing_ok=True)
