"""Whether a run directory holds a run that has decided anything yet."""

from pathlib import Path

from rljob.ledger.audit import LEDGER
from rljob.ledger.event import Admit
from rljob.ledger.line import LineError, decode


def has_begun(run_dir: Path) -> bool:
    """Whether a group was admitted or a checkpoint saved; until then any job may take over."""
    if any((run_dir / "checkpoints").glob("step-*")):
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
