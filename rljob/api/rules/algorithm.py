"""The policy-gradient method."""

from collections.abc import Iterator

from rljob.api.estimator import PRESETS, advantage_of, loss_of
from rljob.api.problem import Problem, problem
from rljob.api.rljob import RLJob
from rljob.api.rules.cel import Cel, twin

# These compare a sample's reward with the others of its group.
GROUP_RELATIVE = ("grpo", "rloo", "reinforce++-baseline")
# These differ from token to token, so a penalty of each token can be part of the reward.
BY_TOKEN = ("gae", "reinforce++", "reinforce++-baseline")
ADVANTAGE = "(has(self.advantage) ? self.advantage : self.estimator)"


def _estimators(advantages: tuple[str, ...]) -> list[str]:
    """The names with one of these advantages, as a list in CEL: of an advantage or estimator."""
    named = [name for name, one in PRESETS.items() if one.advantage in advantages]
    return [*advantages, *(name for name in named if name not in advantages)]


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
        rule="self.kl.rewardCoefficient == 0.0 || self.kl.lossCoefficient != 0.0 "
        f"|| {ADVANTAGE} in {_estimators(BY_TOKEN)}",
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
        rule="!self.estimator.contains(':') || !has(self.advantage)",
        message='found "{self.advantage}", allowed null (estimator is {self.estimator}, which is '
        "the advantage)",
        field="advantage",
        reason="FieldValueForbidden",
    )
)
def one_advantage(job: RLJob) -> Iterator[Problem]:
    """`advantage` is null if `estimator` is a function: that is the advantage."""
    algorithm = job.spec.algorithm
    if ":" in algorithm.estimator and algorithm.advantage is not None:
        yield problem(
            "spec.algorithm.advantage",
            algorithm.advantage,
            "null",
            f"estimator is {algorithm.estimator}, which is the advantage",
        )


@twin(
    Cel(
        at="spec.algorithm",
        rule=f"!has(self.loss) || self.loss != 'gspo' || !({ADVANTAGE} in {_estimators(BY_TOKEN)})",
        message=f'found "gspo", allowed clipped or cispo (the advantage is {{{ADVANTAGE}}}, which '
        "differs from token to token; the ratio of a whole response needs one value for it)",
        field="loss",
    ),
    Cel(
        at="spec.algorithm",
        rule="has(self.loss) || self.estimator != 'gspo' || !has(self.advantage) "
        f"|| !(self.advantage in {list(BY_TOKEN)})",
        message='found "{self.advantage}", allowed grpo or rloo (estimator is gspo: the ratio of a '
        "whole response needs one value for it)",
        field="advantage",
    ),
)
def sequence_loss_is_of_samples(job: RLJob) -> Iterator[Problem]:
    """The loss gspo needs an advantage that is the same for all tokens of a response."""
    algorithm = job.spec.algorithm
    if loss_of(algorithm) != "gspo" or advantage_of(algorithm) not in BY_TOKEN:
        return
    if algorithm.loss is not None:
        yield problem(
            "spec.algorithm.loss",
            algorithm.loss,
            "clipped or cispo",
            f"the advantage is {algorithm.advantage or algorithm.estimator}, which differs from "
            "token to token; the ratio of a whole response needs one value for it",
        )
    else:
        yield problem(
            "spec.algorithm.advantage",
            algorithm.advantage,
            "grpo or rloo",
            "estimator is gspo: the ratio of a whole response needs one value for it",
        )


@twin(
    Cel(
        at="spec.algorithm",
        rule=f"self.samplesPerPrompt > 1 || !({ADVANTAGE} in {_estimators(GROUP_RELATIVE)})",
        message=f"found 1, allowed at least 2 ({{{ADVANTAGE}}} compares the samples of a prompt "
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
    """Group-relative advantages and nonzero-std need `samplesPerPrompt` of at least 2."""
    algorithm = job.spec.algorithm
    if algorithm.samples_per_prompt > 1:
        return
    if advantage_of(algorithm) in GROUP_RELATIVE:
        yield problem(
            "spec.algorithm.samplesPerPrompt",
            1,
            "at least 2",
            f"{algorithm.advantage or algorithm.estimator} compares the samples of a prompt with "
            "each other",
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
        rule=f"!has(self.critic) || {ADVANTAGE} in {_estimators(('gae',))}",
        message=f"found an object, allowed null (the advantage is {{{ADVANTAGE}}}; only gae, that "
        "of ppo, has a critic)",
        field="critic",
        reason="FieldValueForbidden",
    )
)
def critic_of_gae(job: RLJob) -> Iterator[Problem]:
    """`critic` is given only with the advantage gae, which is that of `estimator: ppo`."""
    algorithm = job.spec.algorithm
    if algorithm.critic is not None and advantage_of(algorithm) != "gae":
        yield Problem(
            ("spec", "algorithm", "critic"),
            "an object",
            "null",
            f"the advantage is {algorithm.advantage or algorithm.estimator}; only gae, that of "
            "ppo, has a critic",
        )


@twin(
    Cel(
        at="spec.algorithm",
        rule="!has(self.distillation) || (has(self.loss) ? self.loss : self.estimator) != 'gspo'",
        message="found an object, allowed null (the loss is gspo: the ratio of a whole response "
        "needs one advantage for it, and a teacher judges each token)",
        field="distillation",
        reason="FieldValueForbidden",
    )
)
def teacher_judges_tokens(job: RLJob) -> Iterator[Problem]:
    """`distillation` needs a loss that weighs each token by its own ratio, which gspo does not."""
    algorithm = job.spec.algorithm
    if algorithm.distillation is not None and loss_of(algorithm) == "gspo":
        yield Problem(
            ("spec", "algorithm", "distillation"),
            "an object",
            "null",
            "the loss is gspo: the ratio of a whole response needs one advantage for it, and a "
            "teacher judges each token",
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
    reference_is_used,
    teacher_judges_tokens,
    critic_of_gae,
    one_kl_penalty,
    kl_loss_has_a_gradient,
    unbiased_kl_has_an_unbiased_estimator,
    one_correction,
    icepop_is_of_tokens,
    penalty_is_of_tokens,
    one_advantage,
    sequence_loss_is_of_samples,
    group_has_others,
)
