"""What the name of an estimator stands for."""

from dataclasses import dataclass

from rljob.api.algorithm import SUPERVISED, AlgorithmSpec, LossName


@dataclass(frozen=True)
class Preset:
    """An algorithm.

    Args:
        advantage: how rewards become advantages, by a name or "module:function".
        loss: how advantages become a loss.
    """

    advantage: str
    loss: LossName = "clipped"


# As `spec.algorithm.estimator` names them.
PRESETS = {
    "grpo": Preset("grpo"),
    "gspo": Preset("grpo", "gspo"),
    "cispo": Preset("grpo", "cispo"),
    "rloo": Preset("rloo"),
    "ppo": Preset("gae"),
    "reinforce++": Preset("reinforce++"),
    "reinforce++-baseline": Preset("reinforce++-baseline"),
}


def generates(algorithm: AlgorithmSpec) -> bool:
    """Whether engines generate what a job learns from; with sft, the data holds it."""
    return algorithm.estimator != SUPERVISED


def advantage_of(algorithm: AlgorithmSpec) -> str:
    """The advantage of a job: its own field, or that of the estimator."""
    named = PRESETS.get(algorithm.estimator, Preset(algorithm.estimator))
    return algorithm.advantage or named.advantage


def loss_of(algorithm: AlgorithmSpec) -> LossName:
    """The loss of a job: its own field, or that of the estimator."""
    named = PRESETS.get(algorithm.estimator, Preset(algorithm.estimator))
    return algorithm.loss or named.loss
