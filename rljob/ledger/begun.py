"""Whether a run directory holds a run that has decided anything yet."""

from pathlib import Path

from rljob.ledger.audit import LEDGER
from rljob.ledger.event import Admit
from rljob.ledger.line import LineError, decode
from rljob.telemetry.outcome import SUCCEEDED, read_summary


def has_begun(run_dir: Path) -> bool:
    """Whether a group was admitted, a checkpoint saved, or the run has succeeded.

    Until then any job may take over. A run that only evaluates admits nothing, but it can succeed.
    """
    if any((run_dir / "checkpoints").glob("step-*")):
        return True
    if read_summary(run_dir).get("state") == SUCCEEDED:
        return True
    try:
        with (run_dir / LEDGER).open("rb") as lines:
            return any(_admits(line) for line in lines)
    except FileNotFoundError:
        return False


def _admits(line: bytes) -> bool:
    """A line that can't be read counts: the run that wrote it had begun."""
    try:
        return isinstance(decode(line), Admit)
    except LineError:
        return True
