"""The importance ratio of whole responses."""

from jaxtyping import Float
from torch import Tensor


def sequence_log_ratio(
    log_ratio: Float[Tensor, "samples tokens"], mask: Float[Tensor, "samples tokens"]
) -> Float[Tensor, "samples tokens"]:
    """The mean log-ratio of a response's tokens that are learned, at each of its tokens.

    GSPO (arXiv 2507.18071, equation 7): the ratio of a response is the geometric mean of those of
    its tokens, so it is clipped as a whole.

    Args:
        log_ratio: log-probability now minus that before the steps of this batch, per token.
        mask: above 0 for tokens that are learned.
    """
    learned = mask > 0
    mean = log_ratio.where(learned, 0).sum(-1) / learned.sum(-1).clamp(min=1)
    return mean[:, None].expand_as(log_ratio)
