"""Leaves bad responses out that the policy no longer gives."""

from jaxtyping import Bool, Float
from torch import Tensor


def off_policy_mask(
    log_probs: Float[Tensor, "samples tokens"],
    rollout_log_probs: Float[Tensor, "samples tokens"],
    advantages: Float[Tensor, "samples tokens"],
    mask: Float[Tensor, "samples tokens"],
    *,
    threshold: float,
) -> Bool[Tensor, "samples tokens"]:
    """True for tokens with a negative advantage of samples that are too far off-policy.

    DeepSeek-V3.2 (arXiv 2512.02556, "Off-Policy Sequence Masking"), and `get_off_policy_mask` of
    TRL's GRPOTrainer. A sample is too far if the mean of log(engine's probability then /
    probability now) over its learned tokens exceeds the threshold. With the engine's own
    probabilities it counts staleness, the steps of this batch and the mismatch of the programs.

    Args:
        log_probs: log-probability now.
        rollout_log_probs: the engine's, while it generated.
        advantages: one per token.
        mask: above 0 for tokens that are learned.
        threshold: in nats per token.
    """
    learned = mask > 0
    divergence = (rollout_log_probs - log_probs.detach()).where(learned, 0)
    mean = divergence.sum(-1, keepdim=True) / learned.sum(-1, keepdim=True).clamp(min=1)
    return (advantages < 0) & (mean > threshold)
