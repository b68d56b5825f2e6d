"""The progress of training, from the trainer's report."""

from collections.abc import Mapping
from typing import Any

from rljob.api.base import LARGEST_INT
from rljob.api.status import BufferStatus, Progress, RLJobStatus, WeightsStatus
from rljob_operator.state import Look

_LONGEST_TEXT = 1000
_LARGEST = 1e100  # largest plausible mean reward


def progressed(look: Look, status: RLJobStatus, rollouts: int) -> RLJobStatus:
    """The status with the report's numbers; without a report only the total changes.

    Args:
        look: the observed job.
        status: the status so far.
        rollouts: rollout batches in total.
    """
    body = look.report
    if not body:
        # A job without a report yet shows the total.
        done = status.progress.rollout
        update = {"rollouts": rollouts, "display": f"{done}/{rollouts}"}
        progress = status.progress.model_copy(update=update)
        return status.model_copy(update={"progress": progress})
    # A trainer that starts does not know yet what it will resume.
    starting = body.get("phase") == "starting"
    rollout = status.progress.rollout if starting else count(body, "rollout") or 0
    progress = Progress(
        rollout=rollout,
        rollouts=rollouts,
        display=f"{rollout}/{rollouts}",
        reward=_number(body, "reward") if "reward" in body else status.progress.reward,
        eta_seconds=count(body, "eta_seconds"),
    )
    members = count(body, "engines") or 0
    weights = WeightsStatus(
        version=_kept(body, "weight_version", status.weights.version),
        epoch=count(body, "epoch") or 0,
        members=members,
        lagging=max(look.ready("rollout") - members, 0),
    )
    leased, ready = count(body, "leased") or 0, count(body, "ready") or 0
    admitted = min((count(body, "waiting") or 0) + leased + ready, LARGEST_INT)
    buffer = BufferStatus(admitted=admitted, leased=leased, ready=ready)
    update = {
        "progress": progress,
        "weights": weights,
        "buffer": buffer,
        "reused_run": str(body.get("reused_run") or "")[:_LONGEST_TEXT],
    }
    return status.model_copy(update=update)


def finished(look: Look, rollouts: int | None) -> bool:
    """Whether the trainer has finished all rollout batches.

    If the spec was changed to more rollouts, the trainer may have finished the old number; it is
    then about to be restarted.

    Args:
        look: the observed job.
        rollouts: rollout batches in total; None: the trainer's own number.
    """
    body = look.report
    known = body.get("rollouts", rollouts)
    return body.get("phase") == "finished" and rollouts in (None, known)


def count(body: Mapping[str, Any], name: str) -> int | None:
    """A count in the report; None if it is missing or invalid."""
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= LARGEST_INT else None


def _kept(body: Mapping[str, Any], name: str, last: int) -> int:
    """What the report counts; what it last counted while it says nothing of it."""
    return count(body, name) or 0 if name in body else last


def _number(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # As many digits as a table's column can show. The comparison also excludes nan and inf.
    return round(float(value), 4) if abs(value) <= _LARGEST else None
