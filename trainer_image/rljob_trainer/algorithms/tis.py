"""Truncated importance sampling: corrects for engine and trainer probabilities that differ."""

from jaxtyping import Bool, Float
from torch import Tensor


def tis_weights(
    log_probs: Float[Tensor, "*tokens"],
    rollout_log_probs: Float[Tensor, "*tokens"],
    *,
    cap: float,
) -> tuple[Float[Tensor, "*tokens"], Bool[Tensor, "*tokens"]]:
    """min(trainer's probability / engine's probability, cap) per token.

    F. Yao et al., "Your Efficient RL Framework Secretly Brings You Off-Policy RL Training",
    https://fengyao.notion.site/off-policy-rl: engine and trainer give different probabilities to
    the same token under the same weights, so that samples are off-policy even without staleness.

    Args:
        log_probs: the trainer's, before the steps of this batch.
        rollout_log_probs: the engine's, while it generated.
        cap: upper bound of a weight.

    Returns:
        Weights to multiply the policy loss by, without a gradient; and which of them were capped.
    """
    ratio = (log_probs - rollout_log_probs).detach().exp()
    return ratio.clamp(max=cap), ratio > cap
