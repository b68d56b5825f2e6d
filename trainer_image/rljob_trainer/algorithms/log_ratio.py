"""Bounds of log-ratios, so that their exponential stays finite in float32."""

from jaxtyping import Float
from torch import Tensor

# verl clamps log-ratios of policies to +-20 before it takes their exponential (compute_policy_loss
# and kl_penalty of verl/trainer/ppo/core_algos.py). e^20 is 5e8; float32 ends at e^88.7.
LARGEST_LOG_RATIO = 20.0


def bounded(log_ratio: Float[Tensor, "*tokens"]) -> Float[Tensor, "*tokens"]:
    """The log-ratio within +-20. Beyond, its gradient is exactly 0.

    Without a bound the exponential overflows. The loss may not choose it, but its gradient of 0 is
    then multiplied by infinity, which is NaN.
    """
    return log_ratio.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
