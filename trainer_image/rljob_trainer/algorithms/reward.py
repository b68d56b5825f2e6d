"""Rewards in float32, the precision in which training uses them."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor


def as_float32(rewards: Sequence[float]) -> Float32[Tensor, " samples"]:
    """Converts rewards to the precision in which advantages are computed."""
    return torch.tensor(rewards, dtype=torch.float32)


def all_alike(rewards: Float[Tensor, " samples"]) -> bool:
    """Whether all rewards of a group are equal, so that no sample is better than another.

    They are compared one by one, because the mean of equal numbers need not equal them exactly. In
    float32, 0.3 and 0.1 + 0.2 are the same number.
    """
    same: Bool[Tensor, " samples"] = rewards == rewards[:1]
    return bool(same.all())


def unfit_reward(rewards: Sequence[float]) -> str | None:
    """Describes the first reward that is not finite in float32; None if all are."""
    for index, finite in enumerate(as_float32(rewards).isfinite().tolist()):
        if not finite:
            return (
                f"reward of sample {index}: found {rewards[index]}, allowed: a number that is "
                "finite in float32 (up to 3.4e38)"
            )
    return None
