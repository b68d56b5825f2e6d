"""The audit: proves from a run's files alone that it used every prompt by the rules."""

from dataclasses import dataclass
from pathlib import Path

from rljob.ledger.books import Books, ViolationError
from rljob.ledger.line import LineError, decode
from rljob.telemetry.outcome import SUCCEEDED, read_summary

LEDGER = "ledger.jsonl"


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    Args:
        books: the state at the end, or before the first violation.
        lines: number of ledger lines that were read.
        torn: the last line is incomplete: the writer was killed, or is still writing.
        violation: the first violation, with its position; None if there is none.
    """

    books: Books
    lines: int
    torn: bool
    violation: str | None


def audit(run_dir: Path) -> Audit:
    """Audit the ledger of a run, finished or not.

    Raises:
        OSError: the ledger can't be read.
    """
    books = Books()
    number, torn = 0, False
    with (run_dir / LEDGER).open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                torn = True
                break
            try:
                books.enter(decode(line))
            except (LineError, ViolationError) as error:
                return Audit(books, number, torn, f"{LEDGER}:{number}: {error}")
    return Audit(books, number, torn, _outside(run_dir, books))


def _outside(run_dir: Path, books: Books) -> str | None:
    """The violation if other files of the run contain batches that the ledger does not."""
    summary = read_summary(run_dir)
    ended = int(summary.get("rollouts", 0)) if summary.get("state") == SUCCEEDED else 0
    if ended > books.rollout:
        return f"{LEDGER} ends with batch {books.rollout}, but summary.json has {ended} batches"
    saved = [
        int(path.name.removeprefix("step-"))
        for path in (run_dir / "checkpoints").glob("step-*")
        if path.name.removeprefix("step-").isdecimal()
    ]
    if max(saved, default=0) > books.rollout:
        return f"{LEDGER} ends with batch {books.rollout}, but checkpoint {max(saved)} was saved"
    return None
