"""The clipped policy-gradient loss."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rljob_trainer.algorithms.log_ratio import LARGEST_LOG_RATIO, bounded


def clipped_policy_loss(
    log_ratio: Float[Tensor, "*tokens"],
    advantages: Float[Tensor, "*tokens"],
    *,
    low: float,
    high: float,
    dual: float | None = None,
) -> tuple[Float[Tensor, "*tokens"], Bool[Tensor, "*tokens"]]:
    """PPO's pessimistic surrogate (arXiv 1707.06347, equation 7), negated, per token.

    With `high` above `low` it is DAPO's clip-higher (arXiv 2503.14476). `dual` bounds the loss of
    a negative advantage, which clipping leaves unbounded as the ratio grows (arXiv 1912.09729,
    equation 5). The log-ratio is bounded to +-20, see `bounded`.

    Args:
        log_ratio: log-probability now minus that before the steps of this batch.
        advantages: one per token.
        low: the ratio is clipped to 1 - low at least.
        high: the ratio is clipped to 1 + high at most.
        dual: c > 1: the loss of an advantage A < 0 is at most -c A.

    Returns:
        The loss, and whether a bound took the place of the ratio: such a token has no gradient.
    """
    ratio = bounded(log_ratio).exp()
    own = -ratio * advantages
    bound = -ratio.clamp(1 - low, 1 + high) * advantages
    loss = torch.maximum(own, bound)
    clipped = (bound > own) | (log_ratio.abs() > LARGEST_LOG_RATIO)
    if dual is not None:
        limit = -dual * advantages
        exceeds = (advantages < 0) & (loss > limit)
        loss = torch.where(exceeds, limit, loss)
        clipped = clipped | exceeds
    return loss, clipped
