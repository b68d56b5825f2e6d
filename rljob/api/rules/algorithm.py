"""The policy-gradient method."""

from collections.abc import Iterator

from rljob.api.problem import Problem, problem
from rljob.api.rljob import RLJob

# Their advantage is a sample's reward against the others of its group.
GROUP_RELATIVE = ("grpo", "gspo", "cispo", "rloo", "reinforce++-baseline")


def one_kl_penalty(job: RLJob) -> Iterator[Problem]:
    """At most one of `kl.lossCoefficient` and `kl.rewardCoefficient` is not 0."""
    kl = job.spec.algorithm.kl
    if kl.loss_coefficient and kl.reward_coefficient:
        yield problem(
            "spec.algorithm.kl.rewardCoefficient",
            kl.reward_coefficient,
            "0",
            f"lossCoefficient is {kl.loss_coefficient}; at most one of the two",
        )


def dual_clip_above_one(job: RLJob) -> Iterator[Problem]:
    """`clip.dual` is above 1."""
    dual = job.spec.algorithm.clip.dual
    if dual is not None and dual <= 1:
        yield problem("spec.algorithm.clip.dual", dual, "a number above 1, or null")


def group_has_others(job: RLJob) -> Iterator[Problem]:
    """Group-relative estimators and nonzero-std need `samplesPerPrompt` of at least 2."""
    algorithm = job.spec.algorithm
    if algorithm.samples_per_prompt > 1:
        return
    if algorithm.estimator in GROUP_RELATIVE:
        yield problem(
            "spec.algorithm.samplesPerPrompt",
            1,
            "at least 2",
            f"{algorithm.estimator} compares the samples of a prompt with each other",
        )
    if algorithm.filter == "nonzero-std":
        yield problem(
            "spec.algorithm.filter",
            algorithm.filter,
            "null",
            "samplesPerPrompt is 1, so every group's standard deviation is 0 and all are dropped",
        )


RULES = (one_kl_penalty, dual_clip_above_one, group_has_others)
