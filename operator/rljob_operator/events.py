"""Kubernetes events for changes between two statuses.

They are posted only on a change, and only once while a container is restarted repeatedly.
"""

from collections.abc import Iterator

from rljob.api.status import Condition, ConditionType, RLJobStatus
from rljob_operator.action import Event
from rljob_operator.conditions import says_why_pods_miss
from rljob_operator.reason import TROUBLES, Reason, Told
from rljob_operator.state import find

_READY: dict[ConditionType, Told] = {
    "BufferReady": Told.BUFFER_READY,
    "TrainerReady": Told.TRAINER_READY,
    "RolloutReady": Told.ROLLOUT_READY,
}


def normal(told: Told, message: str) -> Event:
    """An event of normal operation."""
    return Event("Normal", told.value, message)


def warning(told: Told, message: str) -> Event:
    """An event that may need attention."""
    return Event("Warning", told.value, message)


def changes(before: RLJobStatus, after: RLJobStatus, *, scaled: str = "") -> tuple[Event, ...]:
    """The events for a change of status.

    Args:
        before: the last status.
        after: the new status.
        scaled: why the rollout replicas change.
    """
    return (
        *_accepted(find(before, "Accepted"), find(after, "Accepted")),
        *_permitted(find(before, "Permitted"), find(after, "Permitted")),
        *_suspended(before, find(before, "Suspended"), find(after, "Suspended")),
        *_scaled(before.rollout.desired, after.rollout.desired, scaled),
        *_scheduled(find(before, "Scheduled"), find(after, "Scheduled")),
        *(
            event
            for condition, told in _READY.items()
            for event in _ready(told, find(before, condition), find(after, condition))
        ),
        *_reused(before, after),
        *_ended(before, after),
    )


def _accepted(old: Condition | None, new: Condition | None) -> Iterator[Event]:
    if new is None or _said(old) == _said(new):
        return
    if new.status != "True":
        yield Event("Warning", new.reason, new.message)
        return
    if old is None or old.status != "True":
        yield normal(Told.ACCEPTED, "the spec is valid")
    if new.message:
        yield warning(Told.CAUTION, new.message)


def _permitted(old: Condition | None, new: Condition | None) -> Iterator[Event]:
    """Once for an object and a reason, however often it is tried again."""
    if new is not None and new.status != "True" and _subjects(new) - _subjects(old):
        yield Event("Warning", new.reason, new.message)


def _subjects(condition: Condition | None) -> set[tuple[str, str]]:
    """The reason with each object that the lines of the message are about."""
    if condition is None:
        return set()
    lines = condition.message.splitlines()
    return {(condition.reason, line.partition(":")[0]) for line in lines}


def _suspended(
    before: RLJobStatus, old: Condition | None, new: Condition | None
) -> Iterator[Event]:
    if new is None or (old is not None and old.status == new.status):
        return
    if new.status == "True":
        yield normal(Told.SUSPENDED, new.message)
    elif before.start_time is None:
        yield normal(Told.STARTED, "the roles are started")
    else:
        yield normal(Told.RESUMED, "the roles are restarted from the last checkpoint")


def _scaled(old: int, new: int, why: str) -> Iterator[Event]:
    if old and old != new:
        change = f"rollout replicas {old} -> {new}"
        yield normal(Told.SCALED, f"{change}: {why}" if why else change)


def _scheduled(old: Condition | None, new: Condition | None) -> Iterator[Event]:
    if new is not None and says_why_pods_miss(new):
        if old is None or not says_why_pods_miss(old):
            yield Event("Warning", new.reason, new.message)
        return
    stuck = old is not None and old.reason == Reason.UNSCHEDULABLE
    if new is None or stuck == (new.reason == Reason.UNSCHEDULABLE):
        return
    if not stuck:
        yield Event("Warning", new.reason, new.message)
    elif new.status == "True":
        yield normal(Told.SCHEDULED, new.message)


def _ready(told: Told, old: Condition | None, new: Condition | None) -> Iterator[Event]:
    if new is None or new.reason == Reason.AT_REST:
        return
    was = old.status if old is not None else "False"
    if new.status == "True":
        if was != "True":
            yield normal(told, new.message)
    elif new.reason == Reason.UNSCHEDULABLE:
        return  # posted already, see _scheduled
    elif new.reason in TROUBLES:
        if old is None or old.reason not in TROUBLES or was == "True":
            yield Event("Warning", new.reason, new.message)
    elif was == "True":
        yield warning(Told.NOT_READY, f"{new.type}: {new.message}")


def _reused(before: RLJobStatus, after: RLJobStatus) -> Iterator[Event]:
    if after.reused_run and after.reused_run != before.reused_run:
        yield warning(Told.RUN_DIRECTORY_REUSED, after.reused_run)


def _ended(before: RLJobStatus, after: RLJobStatus) -> Iterator[Event]:
    succeeded, failed = find(after, "Succeeded"), find(after, "Failed")
    if succeeded is not None and find(before, "Succeeded") is None:
        yield normal(Told.SUCCEEDED, succeeded.message)
    if failed is not None and find(before, "Failed") is None:
        yield warning(Told.FAILED, f"{failed.reason}: {failed.message}")


def _said(condition: Condition | None) -> tuple[str, str, str] | None:
    if condition is None:
        return None
    return condition.status, condition.reason, condition.message
