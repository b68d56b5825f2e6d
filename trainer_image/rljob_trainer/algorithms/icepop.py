"""IcePop: leaves tokens out on which engine and trainer disagree."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def icepop_weights(
    log_ratio: Float[Tensor, "*tokens"], *, cap: float, floor: float
) -> tuple[Float[Tensor, "*tokens"], Bool[Tensor, "*tokens"]]:
    """The ratio trainer's probability / engine's probability, or 0 outside of [floor, cap].

    Ling Team, "Every Step Evolves: Scaling Reinforcement Learning for Trillion-Scale Thinking
    Model", arXiv 2510.18855; `icepop_function` of slime, and "icepop" of NeMo RL. A token that
    truncation would keep with a wrong weight has no gradient. OpenRLHF takes 0.5 and 5.

    Args:
        log_ratio: the trainer's log-probability before the steps of this batch, minus the engine's
            while it generated, of each token.
        cap, floor: bounds of a ratio that counts; both are within.

    Returns:
        Weights to multiply the policy loss by, without a gradient; and which tokens are left out.
    """
    ratio = log_ratio.detach().exp()
    masked = (ratio < floor) | (ratio > cap)
    return torch.where(masked, 0, ratio), masked
