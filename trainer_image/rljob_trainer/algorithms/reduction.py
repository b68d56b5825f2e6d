"""Reduces values per token to one number for the batch."""

import torch
from jaxtyping import Float
from torch import Tensor


def sample_mean(
    values: Float[Tensor, "samples tokens"],
    mask: Float[Tensor, "samples tokens"],
    count: int,
) -> Float[Tensor, ""]:
    """The mean over each sample's tokens, summed over the samples and divided by `count`.

    GRPO's reduction (arXiv 2402.03300, equation 3): each sample counts the same, whatever its
    length. A micro-batch contributes its part of the mean over the global batch, so the parts add
    up to it however samples are spread over micro-batches and data-parallel ranks.

    Args:
        values: per token; values where the mask is 0 are ignored, even NaN.
        mask: 1 for tokens that count. A sample without any adds 0 but still counts as one.
        count: the number of samples in the global batch.
    """
    kept = torch.where(mask > 0, values * mask, 0)
    return (kept.sum(-1) / mask.sum(-1).clamp(min=1)).sum() / count
