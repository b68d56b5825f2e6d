"""The loss of CISPO."""

from jaxtyping import Bool, Float
from torch import Tensor

from rljob_trainer.algorithms.log_ratio import bounded


def cispo_loss(
    log_probs: Float[Tensor, "*tokens"],
    log_ratio: Float[Tensor, "*tokens"],
    advantages: Float[Tensor, "*tokens"],
    *,
    low: float,
    high: float,
) -> tuple[Float[Tensor, "*tokens"], Bool[Tensor, "*tokens"]]:
    """REINFORCE weighted by the clipped importance ratio, per token.

    arXiv 2506.13585, equation 4. A clipped token keeps its gradient, unlike PPO's: the weight has
    none.

    Args:
        log_probs: log-probability now.
        log_ratio: that minus the one before the steps of this batch.
        advantages: one per token.
        low: the ratio is clipped to 1 - low at least.
        high: the ratio is clipped to 1 + high at most.

    Returns:
        The loss, and whether a bound took the place of the ratio.
    """
    ratio = bounded(log_ratio).exp().detach()
    weight = ratio.clamp(1 - low, 1 + high)
    return -weight * advantages * log_probs, weight != ratio
