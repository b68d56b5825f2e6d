"""Whether a run directory holds a run that has reached its end."""

import json
from pathlib import Path

from rljob.api.schedule import ScheduleSpec


def is_finished(run_dir: Path, schedule: ScheduleSpec) -> bool:
    """True if the run has trained on all its batches, or reached its target.

    A manifest that asks for more batches than were trained makes a finished run go on.
    """
    path = run_dir / "summary.json"
    if not path.exists():
        return False
    summary = json.loads(path.read_text())
    if summary["state"] != "succeeded":
        return False
    target = schedule.target_reward
    reached: bool = target is not None and summary["reward_last5"] >= target
    trained: int = summary["rollouts"]
    return reached or trained >= schedule.rollouts
