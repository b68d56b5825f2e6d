"""What runs of the sorting task gave, in a file that grows from run to run."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = 0.9  # mean reward
RECENT = 5  # batches whose mean has to reach it, as `schedule.targetReward` has it


@dataclass(frozen=True)
class Record:
    """One run.

    Args:
        estimator: of the job.
        staleness: `maxStaleness`.
        correction: `mismatch.correction`.
        settings: what differs from the example's spec.
        rewards: mean of each batch.
        seconds: from the start of the first batch to the end of each.
    """

    estimator: str
    staleness: int
    correction: str
    settings: dict[str, Any]
    rewards: Sequence[float]
    seconds: Sequence[float]

    @property
    def name(self) -> str:
        """Of the run: no two in a file have the same."""
        corrected = "" if self.correction == "none" else f", {self.correction}"
        return f"{self.estimator}, maxStaleness {self.staleness}{corrected}"

    @property
    def learned(self) -> bool:
        """Whether the last batches reach the target; a run ends where they do."""
        last = self.rewards[-RECENT:]
        return len(last) == RECENT and sum(last) / RECENT >= TARGET


def load(path: Path) -> list[Record]:
    """The runs of a file; none if there is no file."""
    if not path.exists():
        return []
    return [Record(**each) for each in json.loads(path.read_text())]


def save(path: Path, record: Record) -> None:
    """Adds a run, in place of an earlier one of the same name."""
    others = [each for each in load(path) if each.name != record.name]
    lines = [json.dumps(dataclasses.asdict(each)) for each in [*others, record]]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")
