"""How a job's roles come to rest: in an order in which nothing is lost.

The rollouts go first, and hand back what they have begun; then the trainer, which saves; then the
buffer, to which both talk till their end, and the router.
"""

from datetime import datetime, timedelta

from rljob_operator.action import Action, Delete, Scale
from rljob_operator.observed import Pod, Ref
from rljob_operator.state import WORKLOADS, Look

# A pod that is not gone so long after it should have been is on a node that does not answer.
_PATIENCE = timedelta(seconds=60)


def to_rest(look: Look) -> list[Action]:
    """The next step on the way to no pods; nothing is made anew."""
    if _waits(look, "rollout"):
        roles = ["rollout"]
    elif _waits(look, "trainer"):
        roles = ["rollout", "trainer"]
    else:
        roles = list(WORKLOADS)
    return [action for role in roles for action in _stop(look, role)]


def at_rest(look: Look) -> bool:
    """Whether no pod is left that is worth waiting for."""
    return not any(_waits(look, role) for role in WORKLOADS)


def again(look: Look) -> timedelta | None:
    """When the first of the pods that are waited for has had its time; None: none is going."""
    ends = [_end(pod) for role in WORKLOADS for pod in _there(look, role)]
    return min((end - look.now for end in ends if end is not None), default=None)


def hanging(look: Look) -> list[Pod]:
    """Pods that had their time, and are not waited for any more."""
    return [
        pod
        for pod in look.observed.pods
        if not pod.over and (end := _end(pod)) is not None and end <= look.now
    ]


def pod_count(look: Look, role: str) -> int:
    """Replicas that a role's workload has now; 0 where it is not the job's own, or is going."""
    workload = look.workload(role)
    if workload is None or not workload.owned or workload.deleting:
        return 0
    return workload.replicas


def _waits(look: Look, role: str) -> bool:
    return pod_count(look, role) > 0 or bool(_there(look, role))


def _there(look: Look, role: str) -> list[Pod]:
    """Pods of a role that still run or end, except those of an object that is not the job's own."""
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


def _stop(look: Look, role: str) -> list[Action]:
    workload = look.workload(role)
    if workload is None:
        # Nobody else would end them: their workload was taken away and they were left.
        return [Delete(Ref("Pod", pod.name), pod.uid) for pod in look.pods(role)]
    if pod_count(look, role) > 0:
        return [Scale(workload.ref, workload.uid, 0)]
    return []
