"""PodDisruptionBudgets: how many pods a node drain may evict at a time."""

from rljob_operator import names
from rljob_operator.children.rollout import has_pods
from rljob_operator.children.wanted import Subject, Wanted, child

# Without one of its pods the trainer stops anyway, and later resumes from its checkpoint; most of
# the rollouts must keep generating.
_UNAVAILABLE = {"trainer": 1, "rollout": "25%"}


def disruption_budgets(subject: Subject) -> list[Wanted]:
    """One for the trainer, and one for the rollout if it has its own pods."""
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
        if role == "trainer" or has_pods(subject)
    ]
