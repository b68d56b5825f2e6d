"""Stops a job's roles in an order in which nothing is lost.

The rollouts stop first, and give back unfinished groups; then the trainer, which saves a
checkpoint; then the buffer, which both use until their end, and the router.
"""

from datetime import datetime, timedelta

from rljob_operator.action import Action, Delete, Scale
from rljob_operator.observed import Pod, Ref
from rljob_operator.state import WORKLOADS, Look

# A pod that still exists this long after its grace period is on a node that does not respond.
_PATIENCE = timedelta(seconds=60)


def to_rest(look: Look) -> list[Action]:
    """The next actions for stopping all pods; nothing is created.

    A role whose workload must not be scaled down is tried again, and does not hold up the others.
    """
    if _waits(look, "rollout"):
        roles = ["rollout"]
    elif _waits(look, "trainer"):
        roles = ["rollout", "trainer"]
    else:
        roles = list(WORKLOADS)
    return [action for role in roles for action in _stop(look, role)]


def at_rest(look: Look) -> bool:
    """Whether no pod is left to wait for."""
    return not any(_waits(look, role) for role in WORKLOADS)


def again(look: Look) -> timedelta | None:
    """Time until the first terminating pod is given up; None: none is terminating."""
    ends = [_end(pod) for role in WORKLOADS for pod in _there(look, role)]
    return min((end - look.now for end in ends if end is not None), default=None)


def hanging(look: Look) -> list[Pod]:
    """Pods that did not terminate in time, and are no longer waited for."""
    return [
        pod
        for pod in look.observed.pods
        if not pod.over and (end := _end(pod)) is not None and end <= look.now
    ]


def pod_count(look: Look, role: str) -> int:
    """Replicas of a role's workload; 0 if it is not the job's own, or is being deleted."""
    workload = look.workload(role)
    if workload is None or not workload.owned or workload.deleting:
        return 0
    return workload.replicas


def _waits(look: Look, role: str) -> bool:
    if _is_stuck(look, role):
        return False
    return pod_count(look, role) > 0 or bool(_there(look, role))


def _there(look: Look, role: str) -> list[Pod]:
    """Pods of a role that run or terminate, except those of a workload that is not the job's."""
    workload = look.workload(role)
    if workload is not None and not workload.owned:
        return []
    return [
        pod
        for pod in look.observed.pods
        if pod.role == role and not pod.over and ((end := _end(pod)) is None or end > look.now)
    ]


def _end(pod: Pod) -> datetime | None:
    return pod.gone_by + _PATIENCE if pod.deleting and pod.gone_by is not None else None


def _is_stuck(look: Look, role: str) -> bool:
    """Whether the API server denies to stop a role."""
    denied = look.observed.is_denied
    workload = look.workload(role)
    if workload is None:
        return any(denied("delete", Ref("Pod", pod.name)) for pod in look.pods(role))
    may_scale = not denied("scale", workload.ref)
    may_delete = look.deleting and not denied("delete", workload.ref)
    return pod_count(look, role) > 0 and not (may_scale or may_delete)


def _stop(look: Look, role: str) -> list[Action]:
    workload = look.workload(role)
    if workload is None:
        # Their workload is gone, so nothing else would delete them.
        return [Delete(Ref("Pod", pod.name), pod.uid) for pod in look.pods(role)]
    if pod_count(look, role) == 0:
        return []
    stop: list[Action] = [Scale(workload.ref, workload.uid, 0)]
    if look.deleting and look.observed.is_denied("scale", workload.ref):
        stop.append(Delete(workload.ref, workload.uid))  # it goes with the job anyway
    return stop
