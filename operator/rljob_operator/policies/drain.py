"""Chooses the rollout pods to remove when scaling down: those whose loss costs least.

The ReplicaSet controller removes pods that are not ready first, then those with the lowest
pod-deletion-cost; the default is 0. So only the chosen pods get a cost, just before the number of
replicas is lowered; a pod then gives back its groups at SIGTERM.
"""

from collections.abc import Mapping, Sequence

from rljob_operator.action import Annotate
from rljob_operator.observed import Pod, Report

COST = "controller.kubernetes.io/pod-deletion-cost"
CHOSEN = -1
_IDLE = -1  # load of an engine without the published weights: it has no groups, and gets none


def engine_load(report: Report | None) -> Mapping[str, int]:
    """Groups being generated, by pod, for the engines that hold the published weights.

    Args:
        report: the trainer's report; without it, all pods count the same.
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
    """Annotations to write before the Deployment is scaled down to `wanted` replicas.

    Args:
        pods: pods of the job; other roles, and pods that are being deleted, are ignored.
        wanted: rollout replicas to keep.
        load: see `engine_load`.
    """
    there = [pod for pod in pods if pod.role == "rollout" and not pod.deleting and not pod.over]
    surplus = len(there) - wanted
    if surplus <= 0:
        return ()

    def worth(pod: Pod) -> tuple[bool, int, bool, str]:
        # Among equals prefer those chosen before, so that a repeated pass writes nothing.
        return pod.ready, load.get(pod.name, _IDLE), pod.deletion_cost != CHOSEN, pod.name

    chosen = {pod.name for pod in sorted(there, key=worth)[:surplus]}
    return tuple(
        Annotate(pod.name, {COST: str(CHOSEN) if pod.name in chosen else None})
        for pod in there
        if pod.deletion_cost != (CHOSEN if pod.name in chosen else None)
    )
