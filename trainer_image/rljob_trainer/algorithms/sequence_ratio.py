"""The importance ratio of whole responses."""

from jaxtyping import Float
from torch import Tensor

from rljob_trainer.algorithms.log_ratio import bounded


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


def response_log_ratio(
    log_ratio: Float[Tensor, "samples tokens"], mask: Float[Tensor, "samples tokens"]
) -> Float[Tensor, "samples tokens"]:
    """The log-ratio of the whole response, the sum of its learned tokens', at each of its tokens.

    The importance weight of a response is the product of those of its tokens: slime's level
    "sequence" (examples/train_infer_mismatch_helper/mis.py) and verl's `rollout_is: sequence`. Like
    those, the sum is bounded to +-20, see `bounded`.

    Args:
        log_ratio: the trainer's log-probability minus the engine's, per token.
        mask: above 0 for tokens that are learned.
    """
    total = log_ratio.where(mask > 0, 0).sum(-1, keepdim=True)
    return bounded(total).expand_as(log_ratio)
