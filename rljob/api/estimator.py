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


@dataclass(frozen=True)
class Bounds:
    """The importance ratio is clipped to [1 - low, 1 + high]."""

    low: float
    high: float


# PPO's; of GSPO's paper (arXiv 2507.18071, section 5.1: the mean over a response moves little); no
# lower bound, as in CISPO's (2506.13585), and at most 5 times the weight (ScaleRL, 2510.13786).
BOUNDS: dict[LossName, Bounds] = {
    "clipped": Bounds(0.2, 0.2),
    "gspo": Bounds(3e-4, 4e-4),
    "cispo": Bounds(1.0, 4.0),
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


def bounds_of(algorithm: AlgorithmSpec) -> Bounds:
    """How the ratio of a job is clipped: as its own fields say, or as is usual with its loss."""
    usual, clip = BOUNDS[loss_of(algorithm)], algorithm.clip
    return Bounds(
        usual.low if clip.low is None else clip.low,
        usual.high if clip.high is None else clip.high,
    )
