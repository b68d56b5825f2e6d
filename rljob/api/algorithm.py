"""How rewards become gradients."""

from typing import Any, Literal

from pydantic import Field

from rljob.api.base import (
    FilePath,
    Hook,
    NonNegativeFloat,
    NonNegativeInt,
    Part,
    PositiveFloat,
    PositiveInt,
    Probability,
)

BuiltinEstimator = Literal[
    "grpo", "gspo", "cispo", "ppo", "reinforce++", "reinforce++-baseline", "rloo"
]

AdvantageName = Literal["grpo", "rloo", "gae", "reinforce++", "reinforce++-baseline"]
LossName = Literal["clipped", "gspo", "cispo"]
SUPERVISED = "sft"
ReductionName = Literal["sample-mean", "token-mean", "constant"]


class ClipSpec(Part):
    """Bounds of the importance ratio: the loss is clipped to [1 - low, 1 + high]."""

    low: NonNegativeFloat | None = Field(
        None,
        description="Lower clip distance of the ratio. Default: of the loss; clipped 0.2, gspo "
        "0.0003, cispo 1.",
    )
    high: NonNegativeFloat | None = Field(
        None,
        description="Upper clip distance of the ratio; above low it is DAPO's clip-higher. "
        "Default: of the loss; clipped 0.2, gspo 0.0004, cispo 4.",
    )
    dual: float | None = Field(
        None,
        gt=1,
        allow_inf_nan=False,
        description="Dual clip: bound c > 1 of the loss of negative advantages. Default: off.",
    )


class KLSpec(Part):
    """Penalty for leaving the reference policy."""

    estimator: Literal["k1", "k2", "k3"] = Field(
        "k3",
        description="Estimator of the KL divergence per token (Schulman 2020). "
        "As a loss, k1 has an expected gradient of 0, unless unbiased.",
    )
    clamp: PositiveFloat | None = Field(
        10.0, description="Upper bound of k3 per token; beyond it has no gradient. null: none."
    )
    unbiased: bool = Field(
        False,
        description="Multiply the KL term of the loss by the importance ratio, which makes it and "
        "its gradient unbiased when the policy has changed since it sampled (DeepSeek-V3.2).",
    )
    loss_coefficient: NonNegativeFloat = Field(
        0.0, description="Weight of the KL term in the loss; 0: off."
    )
    reference_interval: PositiveInt | None = Field(
        None,
        description="Rollout batches after which the reference becomes the policy of then, again "
        "and again. Default: it stays as it is.",
    )
    reward_coefficient: NonNegativeFloat = Field(
        0.0,
        description="Weight of the KL penalty in the reward of each token, with the advantages "
        "gae, reinforce++ and reinforce++-baseline; 0: off.",
    )


class MismatchSpec(Part):
    """Correction and monitoring of the difference between trainer's and engine's probabilities."""

    correction: Literal["none", "tis", "icepop", "mis"] = Field(
        "none",
        description="Weight of the policy loss: trainer's probability / engine's. none: 1; tis "
        "(truncated importance sampling): kept within floor and cap; icepop: tokens outside of "
        "floor and cap are left out; mis (masked importance sampling): the same, also of whole "
        "responses.",
    )
    level: Literal["token", "sequence"] = Field(
        "token",
        description="What tis and mis weigh. token: each by its own ratio; sequence: all tokens of "
        "a response by the product of their ratios.",
    )
    old: Literal["trainer", "rollout"] = Field(
        "trainer",
        description="Old log-probabilities of the importance ratio. trainer: computed by the "
        "trainer before the optimizer steps of a batch; rollout: those that the engine sampled "
        "with.",
    )
    cap: float = Field(
        2.0, ge=1, allow_inf_nan=False, description="Upper bound of the importance weight."
    )
    floor: float = Field(
        0.0, ge=0, le=1, allow_inf_nan=False, description="Lower bound of the importance weight."
    )
    veto: Probability | None = Field(
        None,
        description="A sample with a token whose ratio is below this, e.g. 1e-4, is left out of "
        "the loss. Default: off.",
    )
    sequence_mask: PositiveFloat | None = Field(
        None,
        description="Off-policy sequence mask: a sample with a negative advantage has no policy "
        "loss if the mean of log(engine's probability then / probability now) over its tokens "
        "exceeds this, in nats. Default: off.",
    )
    max_difference: PositiveFloat | None = Field(
        0.1,
        description="The job stops when the mean absolute difference between the trainer's and "
        "the engine's log-probabilities exceeds this (with float32, a hundredth of this): the two "
        "then do not hold the same model. The check covers samples of the current weights and, "
        "after each update, a fixed sequence. null: measure only.",
    )


class CriticSpec(Part):
    """The critic of ppo: a second model of the policy's kind, which predicts returns."""

    checkpoint: FilePath | None = Field(
        None,
        description="Directory of the language model that it starts from, in Hugging Face format, "
        "with the policy's vocabulary; its output layer becomes one that gives values, first of "
        "0. Default: model.checkpoint.",
    )
    learning_rate: PositiveFloat | None = Field(
        None,
        description="Its learning rate; min_lr and init_lr keep their proportion to it. All else "
        "is as in trainer.optimizer. Default: the lr there.",
    )
    warmup_rollouts: NonNegativeInt = Field(
        0, description="Rollout batches from which only the critic learns, at the start."
    )
    value_clip: PositiveFloat | None = Field(
        0.2,
        description="A value that moves further than this from the old one in the steps of a batch "
        "gains nothing by it. null: off.",
    )


class DistillationSpec(Part):
    """On-policy distillation: the policy also learns from a teacher's log-probabilities."""

    teacher: FilePath = Field(
        description="Directory of the teacher, a language model in Hugging Face format with the "
        "policy's vocabulary; it may be larger, and of another supported architecture.",
    )
    coefficient: PositiveFloat = Field(
        1.0,
        description="Weight of the divergence from the teacher at each token, in nats, which is "
        "taken from the advantage.",
    )


class LimitsSpec(Part):
    """Bounds that stop a job that goes wrong, before the step's weights are saved."""

    gradient_norm: PositiveFloat | None = Field(
        None,
        description="The job stops when the norm of the policy's gradient in a step, before it is "
        "clipped, exceeds this. Default: off.",
    )
    ratio: float | None = Field(
        None,
        gt=1,
        allow_inf_nan=False,
        description="The job stops when the mean importance ratio of a step's tokens, before it is "
        "clipped, exceeds this; TRL's ratio_threshold is 10. Default: off.",
    )
    kl_to_reference: PositiveFloat | None = Field(
        None,
        description="The job stops when the mean KL divergence from the reference in a step (k3, "
        "per token, in nats) exceeds this. It needs the reference in memory, as kl does. "
        "Default: off.",
    )


def _usual_reduction(algorithm: dict[str, Any]) -> ReductionName:
    return "token-mean" if algorithm.get("estimator") == SUPERVISED else "sample-mean"


class AlgorithmSpec(Part):
    """How the policy learns."""

    estimator: BuiltinEstimator | Literal["sft"] | Hook = Field(
        "grpo",
        description="The algorithm, by the name of its advantage estimator or its loss "
        '(docs/algorithms.md), or "module:function", the same as advantage. sft: supervised '
        "fine-tuning on the labels of the data; nothing is generated.",
    )
    advantage: AdvantageName | Hook | None = Field(
        None,
        description="How rewards become advantages, by a name or "
        '"module:function" (docs/algorithms.md). Default: of the estimator.',
    )
    loss: LossName | None = Field(
        None,
        description="How advantages become a loss. clipped; gspo: clipped, with the ratio of the "
        "whole response; cispo. Default: of the estimator.",
    )
    normalize_std: bool = Field(
        True,
        description="The advantage grpo divides by the group's standard deviation.",
    )
    mask_truncated: bool = Field(
        False,
        description="Nothing of a response that was cut at its maximum length is learned, and its "
        "reward does not count in its group's mean and deviation (DAPO's overlong filtering).",
    )
    samples_per_prompt: PositiveInt = Field(
        8, description="Responses generated per prompt; together they are a group."
    )
    discount: Probability = Field(
        1.0,
        description="Discount of what comes a token later, gamma, with the advantages "
        "gae and reinforce++.",
    )
    gae_lambda: float = Field(
        1.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Decay of later errors in the advantage gae, lambda.",
    )
    critic: CriticSpec | None = Field(
        None, description="Settings of ppo's critic. Default: those of an empty object."
    )
    reduction: ReductionName = Field(
        default_factory=_usual_reduction,
        description="How the terms of the loss become one number. sample-mean: the mean over each "
        "sample's tokens, then over samples; token-mean: over all tokens of the global batch "
        "(DAPO); constant: their sum, divided by samples x rollout.sampling.maxResponseTokens "
        "(Dr. GRPO). Default: token-mean with sft, else sample-mean.",
    )
    distillation: DistillationSpec | None = Field(
        None, description="On-policy distillation, beside any advantage. Default: off."
    )
    clip: ClipSpec = Field(default_factory=ClipSpec, description="Clipping of the ratio.")
    kl: KLSpec = Field(default_factory=KLSpec, description="Divergence from the reference.")
    entropy_coefficient: NonNegativeFloat = Field(
        0.0, description="Weight of the entropy bonus in the loss."
    )
    mismatch: MismatchSpec = Field(
        default_factory=MismatchSpec, description="Mismatch between trainer and engine."
    )
    limits: LimitsSpec = Field(
        default_factory=LimitsSpec, description="Bounds that stop a job that goes wrong."
    )
    filter: Literal["nonzero-std"] | Hook | None = Field(
        None,
        description="Dynamic sampling: groups that it rejects are dropped (with the reason "
        'recorded) and replaced. nonzero-std or "module:function". Default: none.',
    )
