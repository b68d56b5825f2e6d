"""`rljob status`: how far a run is, from the trainer itself or from what it has left."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rljob.api import RLJob
from rljob.cli import words
from rljob.cli.run_directory import RunDirectory, existing
from rljob.cli.trainer_status import ask
from rljob.report.record import read_records
from rljob.telemetry.outcome import is_finished, read_summary


def status(run_dir: Path) -> Iterator[str]:
    """Lines for a person.

    Raises:
        UsageError: there is no run in the directory.
    """
    directory = existing(run_dir)
    job = RLJob.model_validate_json(directory.job_file.read_bytes())
    rollouts = job.spec.schedule.rollouts
    known = _status(directory) if directory.in_use() else None
    yield f"{job.key}: {_state(directory, job, known)}"
    records = read_records(directory.path / "metrics.jsonl").records
    if records:
        yield words.batch(records[-1], rollouts, known)
    if known is not None:
        counts = ("engines", "waiting", "leased", "ready")
        yield "  ".join(f"{name}={words.number(known.get(name), 0)}" for name in counts)
    last: dict[Any, dict[str, Any]] = {}
    for record in read_records(directory.path / "evaluations.jsonl").records:
        last[record.get("name")] = record
    for record in last.values():
        yield from words.evaluation(record, 0)


def _status(directory: RunDirectory) -> dict[str, Any] | None:
    attempt = directory.attempt()
    return ask(attempt.status_url) if attempt is not None else None


def _state(directory: RunDirectory, job: RLJob, known: dict[str, Any] | None) -> str:
    if directory.in_use():
        return words.phase(known)
    if is_finished(directory.path, job.spec.schedule):
        return f"finished in {words.duration(read_summary(directory.path).get('seconds'))}"
    return "stopped; `rljob run` goes on with it"
