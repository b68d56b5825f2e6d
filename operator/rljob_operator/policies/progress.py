"""How far the trainer is, as it says itself."""

from collections.abc import Mapping
from typing import Any

from rljob.api.base import LARGEST_INT
from rljob.api.status import BufferStatus, Progress, RLJobStatus, WeightsStatus
from rljob_operator.state import Look

_LONGEST_TEXT = 1000
_LARGEST = 1e100  # no mean reward is beyond it


def progressed(look: Look, status: RLJobStatus, rollouts: int) -> RLJobStatus:
    """The status with the report's numbers; without a report it stays as it is.

    Args:
        look: at the job.
        status: as it is so far.
        rollouts: rollout batches wanted.
    """
    body = look.report
    if not body:
        # A job that has not told anything yet shows what is wanted of it.
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
    """Whether the trainer has reached the end.

    A trainer that was started before more rollouts were asked for may have reached the end of those
    that it knows of; it is about to be restarted.

    Args:
        look: at the job.
        rollouts: rollout batches wanted; None: as many as the trainer knows of.
    """
    body = look.report
    known = body.get("rollouts", rollouts)
    return body.get("phase") == "finished" and rollouts in (None, known)


def count(body: Mapping[str, Any], name: str) -> int | None:
    """A number of the report that counts something; None where it is missing or is none."""
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
    # As many digits as a column of a table can show; nor is one a number that is not finite.
    return round(float(value), 4) if abs(value) <= _LARGEST else None
