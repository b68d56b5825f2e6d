"""Events for a person: what has changed between two statuses."""

from rljob.api.status import ConditionType, RLJobStatus
from rljob_operator.action import Event
from rljob_operator.state import find

_WARNINGS: dict[ConditionType, str] = {"Accepted": "False", "Failed": "True"}
_TOLD: tuple[ConditionType, ...] = (
    "Accepted",
    "Suspended",
    "Succeeded",
    "Failed",
    "BufferReady",
    "TrainerReady",
)


def events(
    before: RLJobStatus, after: RLJobStatus, *, scaled: str, restarted: str
) -> tuple[Event, ...]:
    """The events that a change of status is worth.

    Args:
        before: as it was told last.
        after: as it is told now.
        scaled: why the rollout replicas change.
        restarted: the failure that led to a restart.
    """
    found: list[Event] = []
    for name in _TOLD:
        old, new = find(before, name), find(after, name)
        if new is None or (
            old is not None and (old.status, old.reason) == (new.status, new.reason)
        ):
            continue
        if old is None and new.status != "True" and name != "Accepted":
            continue  # it has not begun yet
        warning = _WARNINGS.get(name) == new.status
        reason = name if new.status == "True" else f"Not{name}"
        found.append(Event("Warning" if warning else "Normal", reason, new.message or new.reason))
    if before.rollout.desired and before.rollout.desired != after.rollout.desired:
        change = f"rollout replicas {before.rollout.desired} -> {after.rollout.desired}"
        found.append(Event("Normal", "Scaled", f"{change}: {scaled}" if scaled else change))
    if after.restarts > before.restarts:
        found.append(Event("Warning", "Restarted", restarted))
    return tuple(found)
