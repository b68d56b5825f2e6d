"""Where a manifest names rewards."""

from collections.abc import Iterator

from rljob.api.problem import Path
from rljob.api.reward import RewardSpec
from rljob.api.rljob import RLJob


def rewards_of(job: RLJob) -> Iterator[tuple[Path, RewardSpec]]:
    """Each reward that a job gives, and where: of training first, then of evaluations."""
    rollout = ("spec", "rollout")
    if job.spec.rollout.reward is not None:
        yield (*rollout, "reward"), job.spec.rollout.reward
    for index, reward in enumerate(job.spec.rollout.rewards):
        yield (*rollout, "rewards", index), reward
    for index, evaluation in enumerate(job.spec.evaluation):
        if evaluation.reward is not None:
            yield ("spec", "evaluation", index, "reward"), evaluation.reward
