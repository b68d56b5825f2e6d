"""Leaves responses out that the trainer could hardly have sampled."""

import math

from jaxtyping import Bool, Float
from torch import Tensor


def vetoed(
    log_ratio: Float[Tensor, "samples tokens"],
    mask: Float[Tensor, "samples tokens"],
    *,
    threshold: float,
) -> Bool[Tensor, "samples tokens"]:
    """Whether any learned token of the sample has a ratio below the threshold, at each token.

    `calculate_veto_mask` of slime's examples/train_infer_mismatch_helper/mis.py; verl's
    `rollout_token_veto_threshold`. One such token says that the response is none of this policy's.

    Args:
        log_ratio: the trainer's log-probability before the steps of this batch, minus the engine's
            while it generated.
        mask: above 0 for tokens that are learned.
        threshold: the least ratio that is accepted, above 0.
    """
    below = (log_ratio < math.log(threshold)) & (mask > 0)
    return below.any(-1, keepdim=True).expand_as(log_ratio)
