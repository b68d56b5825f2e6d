"""The data of a run, finished or not, as read from its directory."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rljob.report.record import read_records
from rljob.telemetry.incident import Incident, read_incidents
from rljob.telemetry.outcome import read_summary

Record = dict[str, Any]


@dataclass
class Run:
    """The data that the report shows.

    Args:
        directory: the run directory.
        name: name of the job.
        manifest: as the user gave it (YAML); from a cluster, as the roles read it (JSON).
        rollouts: rollout batches in total; 0: none, the run only evaluates; None: not known.
        summary: summary.json; empty until the run has ended.
        metrics: one record per trained rollout batch, in order.
        samples: training samples, in order.
        evaluations: results, in order.
        torn: lines that could not be read, in all files.
        incidents: incidents, in order.
    """

    directory: Path
    name: str = ""
    manifest: str = ""
    rollouts: int | None = None
    summary: Record = field(default_factory=dict)
    metrics: list[Record] = field(default_factory=list)
    samples: list[Record] = field(default_factory=list)
    evaluations: list[Record] = field(default_factory=list)
    torn: int = 0
    incidents: list[Incident] = field(default_factory=list)

    @property
    def trains(self) -> bool:
        """Whether there is a batch to train on, as far as is known."""
        return self.rollouts != 0

    def series(self, name: str) -> list[float | None]:
        """A metric by rollout batch; None for a value that is missing or not a finite number."""
        return [finite(record.get(name)) for record in self.metrics]

    @property
    def batches(self) -> list[int]:
        """Numbers of the rollout batches."""
        return [record["rollout"] for record in self.metrics]

    @property
    def evaluation_names(self) -> list[str]:
        """The data sets, in the order in which they were evaluated first."""
        return list(dict.fromkeys(str(record.get("name")) for record in self.evaluations))

    def evaluations_of(self, name: str) -> list[Record]:
        """The results of one data set."""
        return [record for record in self.evaluations if str(record.get("name")) == name]


def read_run(directory: Path) -> Run:
    """Read a run directory; missing files and damaged lines are left out."""
    files = {
        name: read_records(directory / f"{name}.jsonl")
        for name in ("metrics", "samples", "evaluations")
    }
    job = _job(directory / "job.json")
    return Run(
        directory=directory,
        name=str(job.get("metadata", {}).get("name", directory.name)),
        manifest=_text(directory / "job.yaml") or _text(directory / "job.json"),
        rollouts=job.get("spec", {}).get("schedule", {}).get("rollouts"),
        summary=read_summary(directory),
        metrics=_last_of_each_rollout(files["metrics"].records),
        samples=_numbered(files["samples"].records),
        evaluations=[
            record | {"samples": _objects(record.get("samples"))}
            for record in _numbered(files["evaluations"].records)
        ],
        torn=sum(file.torn for file in files.values()),
        incidents=read_incidents(directory),
    )


def finite(value: Any) -> float | None:
    """The value if it is a finite number, otherwise None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer too large for a float
        return None


def _numbered(records: list[Record]) -> list[Record]:
    return [record for record in records if isinstance(record.get("rollout"), int)]


def _objects(values: Any) -> list[Record]:
    return [v for v in values if isinstance(v, dict)] if isinstance(values, list) else []


def _last_of_each_rollout(records: list[Record]) -> list[Record]:
    """The last record of each batch: after a crash, a batch may be trained on again."""
    last = {record["rollout"]: record for record in _numbered(records)}
    return [last[rollout] for rollout in sorted(last)]


def _job(path: Path) -> Record:
    try:
        job = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return job if isinstance(job, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
