"""Log-probabilities and entropy from logits that are split over tensor-parallel ranks."""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Float32, Int64
from torch import Tensor

# Finite, so that multiplied by a probability of 0 it is 0; no real logit comes near.
_NEVER = -1e30


def log_probs_and_entropy(
    logits: Float[Tensor, "batch token part"],
    targets: Int64[Tensor, "batch token"],
    *,
    vocabulary: int,
    temperature: float,
    group: dist.ProcessGroup,
) -> tuple[Float32[Tensor, "batch token"], Float32[Tensor, "batch token"]]:
    """The log-probability of each target, and the entropy, of softmax(logits / temperature).

    Both are differentiable, and the same on all ranks of the group.

    Args:
        logits: This rank's columns of the vocabulary.
        targets: Numbers in the whole vocabulary.
        vocabulary: Its true size, without padding; columns past it count as impossible.
        temperature: That of sampling.
        group: The ranks which together hold all columns, in order.
    """
    logits = logits.float()
    if temperature != 1.0:
        logits = logits / temperature
    logits, first = _without_padding(logits, vocabulary, group)
    log_probs, entropy = _LogProbsAndEntropy.apply(logits, targets - first, group)
    return log_probs, entropy


@torch.no_grad()
def most_likely(
    logits: Float[Tensor, "batch token part"], *, vocabulary: int, group: dist.ProcessGroup
) -> Int64[Tensor, "batch token"]:
    """The number in the whole vocabulary of the most likely token: the first, of several.

    Args:
        logits, vocabulary, group: as for `log_probs_and_entropy`.
    """
    logits, first = _without_padding(logits, vocabulary, group)
    peak, place = logits.max(-1)
    if dist.get_world_size(group) == 1:
        return place
    highest = peak.clone()
    dist.all_reduce(highest, dist.ReduceOp.MAX, group=group)
    number = torch.where(peak == highest, place + first, vocabulary)
    dist.all_reduce(number, dist.ReduceOp.MIN, group=group)
    return number


def _without_padding(
    logits: Tensor, vocabulary: int, group: dist.ProcessGroup
) -> tuple[Tensor, int]:
    """The logits of this rank, with those past the vocabulary impossible, and its first column."""
    part = logits.shape[-1]
    first = dist.get_rank(group) * part
    if first + part > vocabulary:
        padding = torch.arange(first, first + part, device=logits.device) >= vocabulary
        logits = logits.masked_fill(padding, _NEVER)
    return logits, first


class _LogProbsAndEntropy(torch.autograd.Function):
    """With p = softmax(x): d log p_t / dx = onehot(t) - p;  dH / dx = -p (log p + H)."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, group: dist.ProcessGroup
    ) -> tuple[Tensor, Tensor]:
        part = logits.shape[-1]
        parallel = dist.get_world_size(group) > 1
        peak = logits.amax(-1, keepdim=True)
        if parallel:
            dist.all_reduce(peak, dist.ReduceOp.MAX, group=group)
        shifted = logits - peak
        weights = shifted.exp()
        here = (targets >= 0) & (targets < part) if parallel else None
        local = (targets.clamp(0, part - 1) if parallel else targets)[..., None]
        at_target = shifted.gather(-1, local)[..., 0]
        if here is not None:
            at_target = at_target * here
        sums = torch.stack([weights.sum(-1), (weights * shifted).sum(-1), at_target])
        if parallel:
            dist.all_reduce(sums, group=group)
        total, mean, at_target = sums.unbind()
        log_total = total.log()
        entropy = log_total - mean / total
        weights.div_(total[..., None])
        ctx.save_for_backward(weights, local, here, entropy)
        ctx.set_materialize_grads(False)
        return at_target - log_total, entropy

    @staticmethod
    def backward(
        ctx: Any, by_log_prob: Tensor | None, by_entropy: Tensor | None
    ) -> tuple[Tensor, None, None]:
        weights, local, here, entropy = ctx.saved_tensors
        gradient = torch.zeros_like(weights)
        if by_entropy is not None:
            surprise = torch.xlogy(weights, weights).addcmul_(weights, entropy[..., None])
            gradient.addcmul_(surprise, by_entropy[..., None], value=-1)
        if by_log_prob is not None:
            gradient.addcmul_(weights, by_log_prob[..., None], value=-1)
            one_hot = by_log_prob if here is None else by_log_prob * here
            gradient.scatter_add_(-1, local, one_hot[..., None])
        return gradient, None, None
