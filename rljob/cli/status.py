"""`rljob status`: the progress of a run, from the trainer itself or from the run directory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rljob.api import RLJob
from rljob.api.estimator import generates
from rljob.cli import full_disk, words
from rljob.cli.failure import read_failure
from rljob.cli.run_directory import RunDirectory, existing
from rljob.cli.trainer_status import ask
from rljob.report.record import read_records
from rljob.telemetry.incident import read_incidents
from rljob.telemetry.outcome import is_finished, read_summary

_INCIDENTS = 5  # number of last incidents that are shown
_COUNTS = ("engines", "waiting", "leased", "ready")


@dataclass(frozen=True)
class Status:
    """The status of a run.

    Args:
        lines: for people.
        record: the same for programs.
        failed: whether the last start has failed.
    """

    lines: list[str]
    record: dict[str, Any]
    failed: bool


def status(run_dir: Path) -> Status:
    """The status of a run, running or not.

    Raises:
        UsageError: there is no run in the directory.
    """
    directory = existing(run_dir)
    job = RLJob.model_validate_json(directory.job_file.read_bytes())
    rollouts = job.spec.schedule.rollouts
    known = _ask(directory) if directory.in_use() else None
    state, said, reason = _state(directory, job, known)
    batches = read_records(directory.path / "metrics.jsonl").records
    last: dict[Any, dict[str, Any]] = {}
    for record in read_records(directory.path / "evaluations.jsonl").records:
        last[record.get("name")] = record
    incidents = read_incidents(directory.path)[-_INCIDENTS:]
    lines = [f"{job.key}: {said}"]
    if batches:
        lines.append(words.batch(batches[-1], rollouts, known))
    if known is not None and generates(job.spec.algorithm):
        lines.append("  ".join(f"{name}={words.number(known.get(name), 0)}" for name in _COUNTS))
    for record in last.values():
        lines += words.evaluation(record, 0)
    lines += [incident.message for incident in incidents]
    return Status(
        lines,
        {
            "job": str(job.key),
            "state": state,
            "reason": reason,
            "rollouts": rollouts,
            "trainer": known,
            "batch": batches[-1] if batches else None,
            "evaluations": [
                {name: value for name, value in record.items() if name != "samples"}
                for record in last.values()
            ],
            "incidents": [incident.message for incident in incidents],
        },
        failed=state == "failed",
    )


def _ask(directory: RunDirectory) -> dict[str, Any] | None:
    attempt = directory.attempt()
    return ask(attempt.status_url) if attempt is not None else None


def _state(
    directory: RunDirectory, job: RLJob, known: dict[str, Any] | None
) -> tuple[str, str, str | None]:
    """The state in one word, as a sentence, and the reason if the run failed."""
    if directory.in_use():
        return "running", words.phase(known), None
    if is_finished(directory.path, job.spec.schedule):
        seconds = read_summary(directory.path).get("seconds")
        return "finished", f"finished in {words.duration(seconds)}", None
    failure = read_failure(directory.path)
    if failure is not None:
        return "failed", f"failed: {failure.message}", failure.message
    if full_disk.has_no_space(directory.path):  # so the reason of a failure could not be saved
        reason = full_disk.advice(directory.path)
        return "failed", f"failed: {reason}", reason
    return "stopped", "stopped; `rljob run` resumes it", None
