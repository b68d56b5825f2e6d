"""Reduces values per token to one number for the batch.

A micro-batch contributes its part of the number of the global batch, so the parts add up to it
however samples are spread over micro-batches and data-parallel ranks.
"""

from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from rljob.api.algorithm import ReductionName
from rljob_trainer.trajectories.global_batch import GlobalBatch


@runtime_checkable  # so that beartype can check it
class Reduction(Protocol):
    """Takes values and their mask, both per token, and `sample_tokens` as `sample_mean` does."""

    def __call__(
        self,
        values: Float[Tensor, "rows tokens"],
        mask: Float[Tensor, "rows tokens"],
        sample_tokens: Float[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, ""]: ...


def sample_mean(
    values: Float[Tensor, "rows tokens"],
    mask: Float[Tensor, "rows tokens"],
    sample_tokens: Float[Tensor, " rows"] | None = None,
    *,
    count: int,
) -> Float[Tensor, ""]:
    """The mean over each sample's tokens, summed over the samples and divided by `count`.

    GRPO's reduction (arXiv 2402.03300, equation 3): each sample counts the same, whatever its
    length.

    Args:
        values: per token; values where the mask is 0 are ignored, even NaN.
        mask: 1 for tokens that count. A sample without any adds 0 but still counts as one.
        sample_tokens: how many tokens count in the whole sample that each row, a trajectory, is
            a part of; None: each row is a sample.
        count: the number of samples in the global batch.
    """
    tokens = mask.sum(-1) if sample_tokens is None else sample_tokens
    return (_kept(values, mask).sum(-1) / tokens.clamp(min=1)).sum() / count


def token_mean(
    values: Float[Tensor, "rows tokens"],
    mask: Float[Tensor, "rows tokens"],
    sample_tokens: Float[Tensor, " rows"] | None = None,
    *,
    count: int,
) -> Float[Tensor, ""]:
    """The sum over all tokens, divided by `count`: each token counts the same.

    DAPO's reduction (arXiv 2503.14476, equation 8): long samples count more than short ones.

    Args:
        values, mask: as for `sample_mean`.
        count: the number of tokens in the global batch that are learned.
    """
    return _kept(values, mask).sum() / max(count, 1)


def constant_mean(
    values: Float[Tensor, "rows tokens"],
    mask: Float[Tensor, "rows tokens"],
    sample_tokens: Float[Tensor, " rows"] | None = None,
    *,
    count: int,
    longest: int,
) -> Float[Tensor, ""]:
    """The sum over all tokens, divided by what they would be if each sample were the longest.

    The reduction of Dr. GRPO (arXiv 2503.20783, section 3.2 and listing 1): no divisor depends on
    the responses, so that the length of a response does not change the weight of its tokens.

    Args:
        values, mask: as for `sample_mean`.
        count: the number of samples in the global batch.
        longest: tokens that a response may have at most.
    """
    return _kept(values, mask).sum() / (count * longest)


def reduction(name: ReductionName, whole: GlobalBatch, *, longest: int) -> Reduction:
    """The reduction that a job names.

    Args:
        name: of `spec.algorithm.reduction`.
        whole: the global batch.
        longest: tokens that a response may have at most.
    """
    match name:
        case "sample-mean":
            return partial(sample_mean, count=whole.samples)
        case "token-mean":
            return partial(token_mean, count=whole.tokens)
        case "constant":
            return partial(constant_mean, count=whole.samples, longest=longest)


def _kept(
    values: Float[Tensor, "rows tokens"], mask: Float[Tensor, "rows tokens"]
) -> Float[Tensor, "rows tokens"]:
    return torch.where(mask > 0, values * mask, 0)
