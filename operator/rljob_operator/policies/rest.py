"""How a job's roles come to rest: in an order in which nothing is lost."""

from rljob_operator.children import Want
from rljob_operator.observed import Observed


def towards_rest(observed: Observed) -> Want:
    """Replicas on the way to none.

    The rollouts go first, and hand back what they have begun; then the trainer, which saves; then
    the buffer, to which both talk till their end, and the router.
    """
    roles = {pod.role for pod in observed.pods if not pod.over}
    trainer = pod_count(observed, "trainer") if "rollout" in roles else 0
    others = 1 if roles & {"rollout", "trainer"} else 0
    return Want(trainer=trainer, rollout=0, buffer=others, router=others)


def at_rest(observed: Observed) -> bool:
    """Whether no pod is left that could still run."""
    return all(pod.over for pod in observed.pods)


def pod_count(observed: Observed, role: str) -> int:
    """Replicas of a role that its workload has now."""
    return sum(
        child.replicas
        for ref, child in observed.children.items()
        if ref.kind in ("StatefulSet", "Deployment") and ref.name.endswith(f"-{role}")
    )
