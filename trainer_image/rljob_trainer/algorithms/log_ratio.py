"""Bounds of log-ratios, so that their exponential stays finite in float32."""

from jaxtyping import Float
from torch import Tensor

# verl clamps log-ratios of policies to +-20 before it takes their exponential (compute_policy_loss
# and kl_penalty of verl/trainer/ppo/core_algos.py). e^20 is 5e8; float32 ends at e^88.7.
LARGEST_LOG_RATIO = 20.0


def bounded(log_ratio: Float[Tensor, "*tokens"]) -> Float[Tensor, "*tokens"]:
    """Clamps the log-ratio to +-20. Beyond that its gradient is exactly 0.

    Without a bound the exponential overflows to infinity. Even where the loss does not choose that
    term, its gradient of 0 is multiplied by infinity, which gives NaN.
    """
    return log_ratio.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
