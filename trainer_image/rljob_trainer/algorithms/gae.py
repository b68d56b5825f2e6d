"""Generalized advantage estimation."""

import torch
from jaxtyping import Float
from torch import Tensor


def gae(
    rewards: Float[Tensor, "samples tokens"],
    values: Float[Tensor, "samples tokens"],
    mask: Float[Tensor, "samples tokens"],
    *,
    discount: float,
    decay: float,
) -> Float[Tensor, "samples tokens"]:
    """The advantage of each token: its temporal-difference errors, discounted.

    GAE (arXiv 1506.02438, equation 16) over the tokens that are learned. Others, such as those of
    a tool, are no actions: they are passed over, and their rewards and values do not matter. After
    the last token nothing more is expected, so its error is reward - value.

    The return that the critic learns is this advantage plus the value.

    Args:
        rewards: of each token.
        values: of the state before each token.
        mask: above 0 for tokens that are learned.
        discount: gamma, of what comes a token later.
        decay: lambda, from one-step errors (0) to sums of all rewards (1).

    Returns:
        0 at tokens that are not learned.
    """
    learned = mask > 0
    rewards, values = rewards.where(learned, 0), values.where(learned, 0)
    advantages = torch.zeros_like(values)
    next_value = next_advantage = values.new_zeros(len(values))
    for token in reversed(range(values.shape[1])):
        here = learned[:, token]
        error = rewards[:, token] + discount * next_value - values[:, token]
        advantage = error + discount * decay * next_advantage
        advantages[:, token] = advantage.where(here, 0)
        next_advantage = advantage.where(here, next_advantage)
        next_value = values[:, token].where(here, next_value)
    return advantages
