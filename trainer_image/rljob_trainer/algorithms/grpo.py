"""Group-relative advantages."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rljob_trainer.algorithms.reward import all_alike

_EPSILON = 1e-6  # as in slime; keeps advantages small in a group of nearly equal rewards


def grpo_advantages(
    rewards: Float[Tensor, " samples"],
    groups: Int[Tensor, " samples"],
    *,
    normalize_std: bool,
    valid: Bool[Tensor, " samples"] | None = None,
) -> Float[Tensor, " samples"]:
    """How much better each sample is than its group: reward - mean, over the standard deviation.

    GRPO (arXiv 2402.03300, equation 3) with the unbiased standard deviation (ddof 1) plus 1e-6, as
    slime computes it; without the division it is the advantage of Dr. GRPO (arXiv 2503.20783).

    A group whose valid members all have one reward, or that has a single valid member, tells
    nothing about which sample is better: its advantages are exactly 0. (ROLL keeps the raw reward
    of a single member; without a baseline that pushes every such sample in one direction.)

    Args:
        rewards: one per sample.
        groups: the group number of each sample, in any order; groups may differ in size.
        normalize_std: divide by the group's standard deviation.
        valid: samples marked False are left out of their group's statistics and get 0.
    """
    advantages = torch.zeros_like(rewards)
    counted = torch.ones_like(groups, dtype=torch.bool) if valid is None else valid
    for group in torch.unique(groups):
        members = (groups == group) & counted
        found = rewards[members]
        if all_alike(found):
            continue
        advantage = found - found.mean()
        if normalize_std:
            advantage = advantage / (found.std(correction=1) + _EPSILON)
        advantages[members] = advantage
    return advantages
