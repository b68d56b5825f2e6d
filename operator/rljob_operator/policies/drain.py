"""Which rollout pods go when there must be fewer: those whose loss costs least.

The ReplicaSet controller takes pods that are not ready first, then those with the lowest
pod-deletion-cost; pods without one cost 0. So only those chosen get one, just before the number
falls; a pod then gives back its groups at SIGTERM.
"""

from collections.abc import Mapping, Sequence

from rljob_operator.action import Annotate
from rljob_operator.observed import Pod, Report

COST = "controller.kubernetes.io/pod-deletion-cost"
CHOSEN = -1
_IDLE = -1  # of an engine without the published weights: it has no group, nor gets one


def engine_load(report: Report | None) -> Mapping[str, int]:
    """Groups in hand by pod, of the engines that hold the published weights.

    Args:
        report: the trainer's; without its numbers no pod is better than another.
    """
    load = report.body.get("engine_load") if report else None
    if not isinstance(load, Mapping):
        return {}
    return {
        str(name): groups
        for name, groups in load.items()
        if isinstance(groups, int) and not isinstance(groups, bool)
    }


def drain(pods: Sequence[Pod], wanted: int, load: Mapping[str, int]) -> tuple[Annotate, ...]:
    """Annotations to write before the Deployment is brought down to `wanted` replicas.

    Args:
        pods: of the job; those of other roles, and those that go already, are left alone.
        wanted: rollout replicas that stay.
        load: see `engine_load`.
    """
    there = [pod for pod in pods if pod.role == "rollout" and not pod.deleting and not pod.over]
    surplus = len(there) - wanted
    if surplus <= 0:
        return ()

    def worth(pod: Pod) -> tuple[bool, int, bool, str]:
        # Of equals the one that was chosen before, so that a look that is repeated writes nothing.
        return pod.ready, load.get(pod.name, _IDLE), pod.deletion_cost != CHOSEN, pod.name

    chosen = {pod.name for pod in sorted(there, key=worth)[:surplus]}
    return tuple(
        Annotate(pod.name, {COST: str(CHOSEN) if pod.name in chosen else None})
        for pod in there
        if pod.deletion_cost != (CHOSEN if pod.name in chosen else None)
    )
