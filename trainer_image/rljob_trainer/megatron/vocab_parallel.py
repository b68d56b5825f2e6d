"""Log-probabilities and entropies of tokens, without the logits of the whole vocabulary.

The output layer's weight is split over tensor-parallel ranks, and each rank multiplies its part in
pieces. Nothing of size tokens x vocabulary is ever held: the backward pass computes the logits of
each piece again. With p = softmax(x): d log p_t / dx = onehot(t) - p; dH / dx = -p (log p + H).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Float, Float32, Int64
from torch import Tensor

_PIECE_BYTES = 64 * 2**20  # of float32 logits that are held at a time
# Finite, so that multiplied by a probability of 0 it is 0; no real logit comes near.
_NEVER = -1e30


class TokenScores(NamedTuple):
    """What the logits say of each token; all but the last are differentiable."""

    log_probs: Float32[Tensor, " token"]  # of the targets
    entropies: Float32[Tensor, " token"]
    most_likely: Int64[Tensor, " token"]  # the first, of several


def token_scores(
    hidden: Float[Tensor, "token hidden"],
    weight: Float[Tensor, "part hidden"],
    targets: Int64[Tensor, " token"],
    *,
    vocabulary: int,
    temperature: float,
    group: dist.ProcessGroup,
) -> TokenScores:
    """Scores of softmax(hidden weight^T / temperature), the same on all ranks of the group.

    The gradient of `hidden` is that of this rank's part of the vocabulary: the sum over the group
    is the whole.

    Args:
        hidden: what the output layer reads, at the positions that predict the targets.
        weight: this rank's rows of the output layer.
        targets: numbers in the whole vocabulary.
        vocabulary: its true size, without padding; rows past it count as impossible.
        temperature: that of sampling.
        group: the ranks which together hold all rows, in order.
    """
    softmax = _Softmax(vocabulary, temperature, group)
    return TokenScores(*_TokenScores.apply(hidden, weight, targets, softmax))


class _Softmax(NamedTuple):
    """As the arguments of `token_scores`."""

    vocabulary: int
    temperature: float
    group: dist.ProcessGroup


class _TokenScores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, softmax: _Softmax
    ) -> tuple[Tensor, Tensor, Tensor]:
        vocabulary, temperature, group = softmax
        first = dist.get_rank(group) * weight.shape[0]
        here = min(max(vocabulary - first, 0), weight.shape[0])  # rows that are no padding
        pieces = _Pieces(hidden, weight[:here], targets - first, temperature)
        peak = hidden.new_full(targets.shape, _NEVER, dtype=torch.float32)
        likely = torch.full_like(targets, vocabulary)
        # With x' = x - peak: the sums of exp x' and of x' exp x', and x of the target.
        total, mean, at_target = torch.zeros(3, *targets.shape, device=hidden.device).unbind()
        for begin, logits in pieces:
            higher, place = logits.max(-1)
            likely = torch.where(higher > peak, place + (begin + first), likely)
            higher = torch.maximum(higher, peak)
            total, mean = _moved(total, mean, peak - higher)
            peak = higher
            at_target += pieces.of_targets(begin, logits)
            shifted = logits.sub_(peak[:, None])
            weights = shifted.exp()
            total += weights.sum(-1)
            mean += (weights * shifted).sum(-1)
        if dist.get_world_size(group) > 1:
            highest = peak.clone()
            dist.all_reduce(highest, dist.ReduceOp.MAX, group=group)
            likely = torch.where(peak == highest, likely, vocabulary)
            dist.all_reduce(likely, dist.ReduceOp.MIN, group=group)
            total, mean = _moved(total, mean, peak - highest)
            sums = torch.stack([total, mean, at_target])
            dist.all_reduce(sums, group=group)
            total, mean, at_target = sums.unbind()
            peak = highest
        log_total = total.log()
        entropies = log_total - mean / total
        ctx.save_for_backward(hidden, weight, targets, peak, log_total, entropies)
        ctx.constants = first, here, temperature
        ctx.mark_non_differentiable(likely)
        ctx.set_materialize_grads(False)
        return at_target - peak - log_total, entropies, likely

    @staticmethod
    def backward(
        ctx: Any, by_log_prob: Tensor | None, by_entropy: Tensor | None, _by_likely: None
    ) -> tuple[Tensor | None, ...]:
        hidden, weight, targets, peak, log_total, entropies = ctx.saved_tensors
        first, here, temperature = ctx.constants
        pieces = _Pieces(hidden, weight[:here], targets - first, temperature)
        of_hidden = torch.zeros_like(hidden, dtype=torch.float32)
        of_weight = torch.zeros_like(weight)
        for begin, logits in pieces:
            log_probs = logits.sub_(peak[:, None]).sub_(log_total[:, None])
            probabilities = log_probs.exp()
            gradient = torch.zeros_like(log_probs)
            if by_entropy is not None:
                surprise = (log_probs + entropies[:, None]).mul_(probabilities)
                gradient.addcmul_(surprise, by_entropy[:, None], value=-1)
            if by_log_prob is not None:
                gradient.addcmul_(probabilities, by_log_prob[:, None], value=-1)
                pieces.add_to_targets(begin, gradient, by_log_prob)
            gradient = gradient.div_(temperature).to(weight.dtype)
            rows = slice(begin, begin + gradient.shape[1])
            of_hidden += gradient @ weight[rows]
            of_weight[rows] = gradient.T @ hidden
        return of_hidden.to(hidden.dtype), of_weight, None, None


class _Pieces:
    """The logits of some rows of the vocabulary after others."""

    def __init__(self, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> None:
        """`targets` are counted from the first row of `weight`."""
        self._hidden = hidden
        self._weight = weight
        self._targets = targets
        self._temperature = temperature

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        """The number of a piece's first row, and its float32 logits, which may be changed."""
        size = max(1, _PIECE_BYTES // (4 * max(1, self._hidden.shape[0])))
        for begin in range(0, self._weight.shape[0], size):
            logits = self._hidden @ self._weight[begin : begin + size].T
            logits = logits.float()
            yield begin, logits.div_(self._temperature) if self._temperature != 1.0 else logits

    def of_targets(self, begin: int, logits: Tensor) -> Tensor:
        """The targets' logits; 0 for those outside of the piece."""
        place, inside = self._places(begin, logits)
        return logits.gather(1, place)[:, 0] * inside

    def add_to_targets(self, begin: int, gradient: Tensor, value: Tensor) -> None:
        """Adds each token's value at its target, if that is in the piece."""
        place, inside = self._places(begin, gradient)
        gradient.scatter_add_(1, place, (value * inside)[:, None])

    def _places(self, begin: int, logits: Tensor) -> tuple[Tensor, Tensor]:
        place = self._targets - begin
        inside = (place >= 0) & (place < logits.shape[1])
        return place.clamp(0, logits.shape[1] - 1)[:, None], inside


def _moved(total: Tensor, mean: Tensor, by: Tensor) -> tuple[Tensor, Tensor]:
    """The sums of exp x' and of x' exp x' when each x' grows by a number that is not above 0."""
    factor = by.exp()
    return total * factor, (mean + by * total) * factor
