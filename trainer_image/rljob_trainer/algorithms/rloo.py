"""Leave-one-out advantages."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rljob_trainer.algorithms.reward import all_alike


def rloo_advantages(
    rewards: Float[Tensor, " samples"],
    groups: Int[Tensor, " samples"],
    valid: Bool[Tensor, " samples"] | None = None,
) -> Float[Tensor, " samples"]:
    """How much better each sample is than the others of its group: reward - their mean.

    RLOO (arXiv 2402.14740, equation 7). The baseline of a sample does not contain its own reward,
    so the gradient is unbiased. A group with a single valid sample, or with one reward, gets
    exactly 0.

    Args:
        rewards: one per sample.
        groups: the group number of each sample, in any order; groups may differ in size.
        valid: samples marked False are left out of their group's mean and get 0.
    """
    advantages = torch.zeros_like(rewards)
    counted = torch.ones_like(groups, dtype=torch.bool) if valid is None else valid
    for group in torch.unique(groups):
        members = (groups == group) & counted
        found = rewards[members]
        if not all_alike(found):
            advantages[members] = found - (found.sum() - found) / (len(found) - 1)
    return advantages
