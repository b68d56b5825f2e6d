"""Truncated importance sampling: corrects for engine and trainer probabilities that differ."""

from jaxtyping import Bool, Float
from torch import Tensor


def tis_weights(
    log_ratio: Float[Tensor, "*tokens"], *, cap: float, floor: float = 0.0
) -> tuple[Float[Tensor, "*tokens"], Bool[Tensor, "*tokens"]]:
    """The ratio trainer's probability / engine's probability, but at most `cap`.

    F. Yao et al., "Your Efficient RL Framework Secretly Brings You Off-Policy RL Training",
    https://fengyao.notion.site/off-policy-rl: engine and trainer give different probabilities to
    the same token under the same weights, so that samples are off-policy even without staleness.

    Args:
        log_ratio: the trainer's log-probability before the steps of this batch, minus the engine's
            while it generated; of a token, or of its whole response (`response_log_ratio`).
        cap: upper bound of a weight.
        floor: lower bound of a weight, as slime (`--tis-clip-low`) and NeMo RL have it.

    Returns:
        Weights to multiply the policy loss by, without a gradient; and in which of them a bound
        took the place of the ratio.
    """
    ratio = log_ratio.detach().exp()
    return ratio.clamp(floor, cap), (ratio > cap) | (ratio < floor)
