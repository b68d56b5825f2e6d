"""How a start of a run has failed, kept for whoever looks later."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE_NAME = "failure.json"


@dataclass(frozen=True)
class Failure:
    """The end of a start that failed.

    Args:
        message: what happened, and why as far as it is known.
        code: exit code of `rljob run`.
        time: unix seconds.
    """

    message: str
    code: int
    time: float = field(default_factory=time.time)


def write_failure(run_dir: Path, failure: Failure) -> None:
    """Keeps it; on a full disk it is lost, which must not hide the failure itself."""
    try:
        (run_dir / FILE_NAME).write_text(json.dumps(asdict(failure), indent=2) + "\n")
    except OSError:
        forget_failure(run_dir)  # half of it


def read_failure(run_dir: Path) -> Failure | None:
    """Of the last start; None where it did not fail."""
    try:
        return Failure(**json.loads((run_dir / FILE_NAME).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def forget_failure(run_dir: Path) -> None:
    """As a new start does."""
    (run_dir / FILE_NAME).unlink(missing_ok=True)
