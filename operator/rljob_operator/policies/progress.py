"""How far the trainer is, as it says itself."""

from typing import Any

from rljob.api.status import BufferStatus, Progress, RLJobStatus, WeightsStatus
from rljob_operator.state import State


def progressed(state: State, status: RLJobStatus) -> RLJobStatus:
    """The status with the report's numbers; without a report it stays as it is."""
    body = state.report
    wanted = state.job.spec.schedule.rollouts
    if not body:
        # A job that has not told anything yet shows what is wanted of it.
        if not status.progress.display:
            first = Progress(rollouts=wanted, display=f"0/{wanted}")
            status = status.model_copy(update={"progress": first})
        return status
    rollout = _count(body.get("rollout"))
    progress = Progress(
        rollout=rollout,
        rollouts=wanted,
        display=f"{rollout}/{wanted}",
        reward=_number(body.get("reward")),
        eta_seconds=_count(body["eta_seconds"]) if "eta_seconds" in body else None,
    )
    members = _count(body.get("engines"))
    weights = WeightsStatus(
        version=_count(body.get("weight_version")),
        epoch=_count(body.get("epoch")),
        members=members,
        lagging=max(state.ready("rollout") - members, 0),
    )
    leased, ready = _count(body.get("leased")), _count(body.get("ready"))
    buffer = BufferStatus(
        admitted=_count(body.get("waiting")) + leased + ready, leased=leased, ready=ready
    )
    return status.model_copy(update={"progress": progress, "weights": weights, "buffer": buffer})


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
