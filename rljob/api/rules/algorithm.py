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
SAMPLING = "self.rollout.sampling"
ADVANTAGE = "(has(self.advantage) ? self.advantage : self.estimator)"


def estimators(advantages: tuple[str, ...]) -> list[str]:
    """The names with one of these advantages, as a list in CEL: of an advantage or estimator."""
    named = [name for name, one in PRESETS.items() if one.advantage in advantages]
    return [*advantages, *(name for name in named if name not in advantages)]


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
        rule=f"!has(self.loss) || self.loss != 'gspo' || !({ADVANTAGE} in {estimators(BY_TOKEN)})",
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
        rule=f"self.samplesPerPrompt > 1 || !({ADVANTAGE} in {estimators(GROUP_RELATIVE)})",
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
        rule=f"!has(self.critic) || {ADVANTAGE} in {estimators(('gae',))}",
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
        at="spec",
        rule=f"!self.algorithm.maskTruncated || !{SAMPLING}.ignoreEos "
        f"|| size({SAMPLING}.stop) > 0 || size({SAMPLING}.stopTokenIds) > 0",
        message="found true, allowed false (rollout.sampling.ignoreEos is true, without stop and "
        "stopTokenIds: every response is cut at its maximum length)",
        field="algorithm.maskTruncated",
        reason="FieldValueForbidden",
    )
)
def some_responses_end(job: RLJob) -> Iterator[Problem]:
    """`maskTruncated` is false if no response can end before its maximum length."""
    sampling = job.spec.rollout.sampling
    if not job.spec.algorithm.mask_truncated or not sampling.ignore_eos:
        return
    if not sampling.stop and not sampling.stop_token_ids:
        yield problem(
            "spec.algorithm.maskTruncated",
            True,
            "false",
            "rollout.sampling.ignoreEos is true, without stop and stopTokenIds: every response is "
            "cut at its maximum length",
        )


RULES = (
    some_responses_end,
    one_advantage,
    sequence_loss_is_of_samples,
    group_has_others,
    critic_of_gae,
    teacher_judges_tokens,
)
