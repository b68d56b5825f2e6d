"""The divergence from the reference policy: spec.algorithm.kl."""

from collections.abc import Iterator

from rljob.api.estimator import advantage_of
from rljob.api.problem import Problem, problem
from rljob.api.rljob import RLJob
from rljob.api.rules.algorithm import ADVANTAGE, BY_TOKEN, estimators
from rljob.api.rules.cel import Cel, twin


@twin(
    Cel(
        at="spec.algorithm.kl",
        rule="self.lossCoefficient == 0.0 || self.rewardCoefficient == 0.0",
        message="found {self.rewardCoefficient}, allowed 0 (lossCoefficient is "
        "{self.lossCoefficient}; at most one of the two)",
        field="rewardCoefficient",
        reason="FieldValueForbidden",
    )
)
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


@twin(
    Cel(
        at="spec.algorithm.kl",
        rule="self.lossCoefficient == 0.0 || self.estimator != 'k1' || self.unbiased",
        message='found "k1", allowed k2 or k3 (lossCoefficient is {self.lossCoefficient}; the '
        "gradient of k1 is 0 in expectation)",
        field="estimator",
    )
)
def kl_loss_has_a_gradient(job: RLJob) -> Iterator[Problem]:
    """A loss by k1 is `kl.unbiased`: without the importance ratio, its expected gradient is 0."""
    kl = job.spec.algorithm.kl
    if kl.loss_coefficient and kl.estimator == "k1" and not kl.unbiased:
        yield problem(
            "spec.algorithm.kl.estimator",
            kl.estimator,
            "k2 or k3",
            f"lossCoefficient is {kl.loss_coefficient}; the gradient of k1 is 0 in expectation",
        )


@twin(
    Cel(
        at="spec.algorithm.kl",
        rule="!self.unbiased || self.estimator != 'k2'",
        message='found "k2", allowed k1 or k3 (unbiased is true, and k2 is biased itself)',
        field="estimator",
    )
)
def unbiased_kl_has_an_unbiased_estimator(job: RLJob) -> Iterator[Problem]:
    """`kl.estimator` is k1 or k3 if `kl.unbiased` is true."""
    kl = job.spec.algorithm.kl
    if kl.unbiased and kl.estimator == "k2":
        yield problem(
            "spec.algorithm.kl.estimator",
            kl.estimator,
            "k1 or k3",
            "unbiased is true, and k2 is biased itself",
        )


@twin(
    Cel(
        at="spec.algorithm",
        rule="self.kl.rewardCoefficient == 0.0 || self.kl.lossCoefficient != 0.0 "
        f"|| {ADVANTAGE} in {estimators(BY_TOKEN)}",
        message="found {self.kl.rewardCoefficient}, allowed 0 (only the advantages gae, "
        "reinforce++ and reinforce++-baseline contain a penalty of each token)",
        field="kl.rewardCoefficient",
        reason="FieldValueForbidden",
    )
)
def penalty_is_of_tokens(job: RLJob) -> Iterator[Problem]:
    """`kl.rewardCoefficient` needs an advantage that differs from token to token."""
    algorithm = job.spec.algorithm
    kl = algorithm.kl
    if kl.reward_coefficient and not kl.loss_coefficient:
        if advantage_of(algorithm) in BY_TOKEN:
            return
        yield problem(
            "spec.algorithm.kl.rewardCoefficient",
            kl.reward_coefficient,
            "0",
            "only the advantages gae, reinforce++ and reinforce++-baseline contain a penalty of "
            "each token",
        )


@twin(
    Cel(
        at="spec.algorithm",
        rule="!has(self.kl.referenceInterval) || self.kl.lossCoefficient != 0.0 "
        "|| self.kl.rewardCoefficient != 0.0 || has(self.limits.klToReference)",
        message="found {self.kl.referenceInterval}, allowed null (lossCoefficient and "
        "rewardCoefficient are 0, and limits.klToReference is null: there is no reference)",
        field="kl.referenceInterval",
        reason="FieldValueForbidden",
    )
)
def reference_is_used(job: RLJob) -> Iterator[Problem]:
    """`kl.referenceInterval` is given only if a KL term or a limit uses the reference."""
    kl, limits = job.spec.algorithm.kl, job.spec.algorithm.limits
    used = kl.loss_coefficient or kl.reward_coefficient or limits.kl_to_reference is not None
    if kl.reference_interval is not None and not used:
        yield problem(
            "spec.algorithm.kl.referenceInterval",
            kl.reference_interval,
            "null",
            "lossCoefficient and rewardCoefficient are 0, and limits.klToReference is null: there "
            "is no reference",
        )


RULES = (
    one_kl_penalty,
    kl_loss_has_a_gradient,
    unbiased_kl_has_an_unbiased_estimator,
    penalty_is_of_tokens,
    reference_is_used,
)
