"""The policy-gradient method."""

from collections.abc import Iterator

from rljob.api.problem import Problem, problem
from rljob.api.rljob import RLJob
from rljob.api.rules.cel import Cel, twin

# Their advantage compares a sample's reward with the others of its group.
GROUP_RELATIVE = ("grpo", "gspo", "cispo", "rloo", "reinforce++-baseline")


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
        rule="self.lossCoefficient == 0.0 || self.estimator != 'k1'",
        message='found "k1", allowed k2 or k3 (lossCoefficient is {self.lossCoefficient}; the '
        "gradient of k1 is 0 in expectation)",
        field="estimator",
    )
)
def kl_loss_has_a_gradient(job: RLJob) -> Iterator[Problem]:
    """`kl.estimator` is not k1 if `kl.lossCoefficient` is not 0: its expected gradient is 0."""
    kl = job.spec.algorithm.kl
    if kl.loss_coefficient and kl.estimator == "k1":
        yield problem(
            "spec.algorithm.kl.estimator",
            kl.estimator,
            "k2 or k3",
            f"lossCoefficient is {kl.loss_coefficient}; the gradient of k1 is 0 in expectation",
        )


@twin(
    Cel(
        at="spec.algorithm.mismatch",
        rule="self.old != 'rollout' || self.correction == 'none'",
        message='found "{self.correction}", allowed none (old is rollout: the ratio itself starts '
        "from the engine's log-probabilities)",
        field="correction",
        reason="FieldValueForbidden",
    ),
    Cel(
        at="spec.algorithm.mismatch",
        rule="self.old != 'rollout' || !has(self.veto)",
        message="found {self.veto}, allowed null (old is rollout: the trainer's log-probabilities "
        "before the steps are not computed)",
        field="veto",
        reason="FieldValueForbidden",
    ),
)
def one_correction(job: RLJob) -> Iterator[Problem]:
    """If `mismatch.old` is rollout, that corrects: `correction` is none, and `veto` null."""
    mismatch = job.spec.algorithm.mismatch
    if mismatch.old != "rollout":
        return
    if mismatch.correction != "none":
        yield problem(
            "spec.algorithm.mismatch.correction",
            mismatch.correction,
            "none",
            "old is rollout: the ratio itself starts from the engine's log-probabilities",
        )
    if mismatch.veto is not None:
        yield problem(
            "spec.algorithm.mismatch.veto",
            mismatch.veto,
            "null",
            "old is rollout: the trainer's log-probabilities before the steps are not computed",
        )


@twin(
    Cel(
        at="spec.algorithm.mismatch",
        rule="self.level != 'sequence' || self.correction != 'icepop'",
        message='found "sequence", allowed token (correction is icepop, which leaves out single '
        "tokens; mis leaves out responses)",
        field="level",
        reason="FieldValueForbidden",
    )
)
def icepop_is_of_tokens(job: RLJob) -> Iterator[Problem]:
    """`mismatch.level` is token if `mismatch.correction` is icepop."""
    mismatch = job.spec.algorithm.mismatch
    if mismatch.level == "sequence" and mismatch.correction == "icepop":
        yield problem(
            "spec.algorithm.mismatch.level",
            mismatch.level,
            "token",
            "correction is icepop, which leaves out single tokens; mis leaves out responses",
        )


@twin(
    Cel(
        at="spec.algorithm",
        rule=f"self.samplesPerPrompt > 1 || !(self.estimator in {list(GROUP_RELATIVE)})",
        message="found 1, allowed at least 2 ({self.estimator} compares the samples of a prompt "
        "with each other)",
        field="samplesPerPrompt",
    ),
    Cel(
        at="spec.algorithm",
        rule="self.samplesPerPrompt > 1 || !has(self.filter) || self.filter != 'nonzero-std'",
        message='found "nonzero-std", allowed null (samplesPerPrompt is 1, so every group\'s '
        "standard deviation is 0 and all are dropped)",
        field="filter",
        reason="FieldValueForbidden",
    ),
)
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


@twin(
    Cel(
        at="spec.algorithm",
        rule="!has(self.critic) || self.estimator == 'ppo'",
        message="found an object, allowed null (estimator is {self.estimator}; only ppo has a "
        "critic)",
        field="critic",
        reason="FieldValueForbidden",
    )
)
def critic_of_ppo(job: RLJob) -> Iterator[Problem]:
    """`critic` is given only with `estimator: ppo`."""
    algorithm = job.spec.algorithm
    if algorithm.critic is not None and algorithm.estimator != "ppo":
        yield Problem(
            ("spec", "algorithm", "critic"),
            "an object",
            "null",
            f"estimator is {algorithm.estimator}; only ppo has a critic",
        )


RULES = (
    critic_of_ppo,
    one_kl_penalty,
    kl_loss_has_a_gradient,
    one_correction,
    icepop_is_of_tokens,
    group_has_others,
)
