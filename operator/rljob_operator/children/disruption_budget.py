"""How many pods a node's drain may take at a time."""

from rljob_operator import names
from rljob_operator.children.wanted import Subject, Wanted, child

# The trainer stands still without one of its pods, but goes on from its checkpoint; of the
# rollouts most go on generating.
_UNAVAILABLE = {"trainer": 1, "rollout": "25%"}


def disruption_budgets(subject: Subject) -> list[Wanted]:
    """One for the trainer, one for the rollout where it has pods of its own."""
    return [
        child(
            subject,
            "PodDisruptionBudget",
            "policy/v1",
            f"{subject.name}-{role}",
            {
                "spec": {
                    "maxUnavailable": unavailable,
                    "selector": {"matchLabels": names.selector(subject.name, role)},
                }
            },
            role=role,
        )
        for role, unavailable in _UNAVAILABLE.items()
        if role == "trainer" or not subject.job.spec.colocate
    ]
