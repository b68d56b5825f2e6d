"""The outcome of a run, and whether it is finished."""

import json
from pathlib import Path
from typing import Any

from rljob.api.schedule import ScheduleSpec

SUCCEEDED = "succeeded"


def read_summary(run_dir: Path) -> dict[str, Any]:
    """The run's summary.json; empty if there is none, or it can't be read."""
    try:
        summary = json.loads((run_dir / "summary.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) else {}


def is_finished(run_dir: Path, schedule: ScheduleSpec) -> bool:
    """True if the run has trained on all its batches, or reached its target.

    A finished run continues if the manifest asks for more batches than were trained.
    """
    summary = read_summary(run_dir)
    if summary.get("state") != SUCCEEDED:
        return False
    reward, target = summary.get("reward_last5"), schedule.target_reward
    if target is not None and reward is not None and reward >= target:
        return True
    return bool(summary.get("rollouts", 0) >= schedule.rollouts)
