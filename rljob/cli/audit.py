"""`rljob audit`."""

from pathlib import Path

from rljob.api import RLJob
from rljob.api.estimator import generates
from rljob.errors import UsageError
from rljob.ledger.audit import LEDGER, Audit
from rljob.ledger.audit import audit as read
from rljob.ledger.books import Books


def audit(run_dir: Path) -> tuple[list[str], bool]:
    """The lines to print, and whether the ledger passes the audit.

    Raises:
        UsageError: there is no ledger, or nothing to be in it.
    """
    _check_kind(run_dir)
    try:
        found = read(run_dir)
    except OSError as error:
        raise UsageError(
            f"{run_dir / LEDGER}: {error.strerror}; allowed: the directory of a started run"
        ) from error
    if found.violation is not None:
        return [found.violation], False
    return _proven(found), True


def _check_kind(run_dir: Path) -> None:
    try:
        job = RLJob.model_validate_json((run_dir / "job.json").read_bytes())
    except (OSError, ValueError):
        return  # a ledger can be audited without it
    if not generates(job.spec.algorithm):
        raise UsageError(
            f"{run_dir}: found a run with spec.algorithm.estimator sft, allowed one that generates "
            "samples: there are no groups to keep a ledger of"
        )


def _uses(books: Books) -> str:
    assert books.start is not None
    if books.start.max_uses == 1:
        return "each once"
    return f"each 1 to {books.start.max_uses} times, {books.uses:,} times in total"


def _proven(found: Audit) -> list[str]:
    books = found.books
    if books.start is None:
        return ["the trainer has not begun: nothing was admitted"]
    state = "the run has ended" if books.finished else f"{len(books.open):,} groups are open"
    lines = [
        f"{found.lines:,} events of {books.start.incarnation:,} starts: {books.rollout:,} batches "
        f"of {books.start.batch_size:,} groups; {state}",
        f"every prompt is accounted for, up to {_drawn(books)}: "
        f"{books.consumed:,} groups were trained on, {_uses(books)}; "
        f"{books.dropped:,} were dropped and {books.skipped:,} skipped, each for a reason",
        f"{books.tokens:,} tokens, all of published versions up to {books.version:,}, the stalest "
        f"{books.staleness:,} versions old (allowed: {books.start.max_staleness:,})",
    ]
    lines += [
        f"from batch {batch:,} on, the content of {', '.join(files)} was different "
        "(spec.data.allowChanged)"
        for batch, files in books.changes
    ]
    if found.torn:
        lines.append("the last line is incomplete, as if still being written; it is ignored")
    return lines


def _drawn(books: Books) -> str:
    prompts = books.start.prompts if books.start is not None else None
    if prompts is None:
        return f"{books.given:,} of a source without a known length"
    return f"{len(books.drawn):,} of {prompts:,} in epoch {books.epoch}"
