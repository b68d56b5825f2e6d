"""What the name of an estimator stands for."""

from dataclasses import dataclass
from typing import Literal

from rljob.errors import UsageError

AdvantageName = Literal["grpo", "rloo", "reinforce++", "reinforce++-baseline", "gae"]
LossName = Literal["clipped", "sequence", "cispo"]


@dataclass(frozen=True)
class Preset:
    """An algorithm, as `spec.algorithm.estimator` names it.

    Args:
        advantage: how rewards become advantages, see `Advantages`.
        loss: how advantages become a loss, see `Objective`.
    """

    advantage: AdvantageName
    loss: LossName = "clipped"


_PRESETS = {
    "grpo": Preset("grpo"),
    "gspo": Preset("grpo", "sequence"),
    "cispo": Preset("grpo", "cispo"),
    "rloo": Preset("rloo"),
    "ppo": Preset("gae"),
    "reinforce++": Preset("reinforce++"),
    "reinforce++-baseline": Preset("reinforce++-baseline"),
}


def preset(estimator: str) -> Preset:
    """The algorithm of a name.

    Raises:
        UsageError: there is none of this name yet.
    """
    if estimator not in _PRESETS:
        allowed = ", ".join(_PRESETS)
        raise UsageError(f"spec.algorithm.estimator: found {estimator!r}, allowed: {allowed}")
    return _PRESETS[estimator]
