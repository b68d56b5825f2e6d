"""How far the policy has moved from the log-probabilities that its importance ratio starts from."""

from collections.abc import Callable

import torch
from jaxtyping import Float32
from torch import Tensor

from rljob_trainer.algorithms.log_ratio import bounded


def drift(
    log_ratio: Float32[Tensor, "samples tokens"],
    mask: Float32[Tensor, "samples tokens"],
    mean: Callable[[Float32[Tensor, "samples tokens"]], Float32[Tensor, ""]],
) -> dict[str, Float32[Tensor, ""]]:
    """Metrics of the ratio of each token, before any clipping, with every loss.

    * train/kl_old_mean: the mean of -log ratio, in nats: k1 of J. Schulman's estimators of
      KL(old || new), http://joschu.net/blog/kl-approx.html; verl's `ppo_kl` (compute_policy_loss
      of verl/trainer/ppo/core_algos.py). Of either sign; exactly 0 in the first step of a batch.
    * train/ratio_mean: the mean ratio, what TRL's `ratio_threshold` is compared with.
    * train/ratio_max: the largest ratio; 0 if no token is learned.

    The log-ratio is bounded to +-20, see `bounded`, as in verl.

    Args:
        log_ratio: log-probability now minus that before the steps of this batch, per token.
        mask: above 0 for tokens that are learned.
        mean: this micro-batch's part of a mean over the tokens that are learned.

    Returns:
        This micro-batch's part of the two means, and its largest ratio.
    """
    log_ratio = bounded(log_ratio)
    ratio = log_ratio.exp()
    return {
        "train/kl_old_mean": mean(-log_ratio),
        "train/ratio_mean": mean(ratio),
        # A micro-batch of responses without tokens has none.
        "train/ratio_max": torch.cat([ratio.new_zeros(1), ratio[mask > 0]]).max(),
    }
