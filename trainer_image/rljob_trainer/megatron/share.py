"""This data-parallel rank's share of a batch, and how the shares' results come together."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from jaxtyping import Float32
from torch import Tensor

from rljob.api.trainer import DEFAULT_MAX_TOKENS_PER_GPU, TrainerSpec
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.trajectories.microbatch import (
    even_counts,
    micro_batches_by_tokens,
    micro_batches_of_size,
    rank_shares,
)
from rljob_trainer.trajectories.padded_batch import PaddedBatch, padded_batch
from rljob_trainer.trajectories.trajectory import Trajectory


class Share:
    """The micro-batches of this rank, of trajectories that every rank holds in the same order.

    All ranks have the same number of them. A rank with fewer trajectories computes on the shortest
    one with its loss masked out, so that its gradient is exactly 0.
    """

    def __init__(
        self, spec: TrainerSpec, parallel: Parallel, trajectories: Sequence[Trajectory]
    ) -> None:
        """Splits the trajectories over the ranks, and this rank's over micro-batches."""
        self._spec = spec
        self._parallel = parallel
        self._trajectories = trajectories
        lengths = [trajectory.length for trajectory in trajectories]
        by_rank = [self._split(share, lengths) for share in rank_shares(lengths, parallel.dp_size)]
        # Interleaved stages take micro-batches in rounds, one for each stage.
        multiple = parallel.pp_size if parallel.chunks > 1 else 1
        self._parts = even_counts(by_rank, lengths, multiple)[parallel.dp_rank]

    @property
    def batches(self) -> list[PaddedBatch]:
        """This rank's micro-batches."""
        parts = [self._of(part) for part in self._parts]
        multiple = self._parallel.tp_size if self._spec.parallelism.sequence else 1
        shape = _common_shape(parts) if self._parallel.chunks > 1 else (0, 0)
        return [padded_batch(part, self._parallel.device, multiple, shape) for part in parts]

    def merged(
        self, found: Sequence[Float32[Tensor, " tokens"]]
    ) -> list[Float32[Tensor, " response"]]:
        """Values of response tokens by trajectory, on the CPU, from those of all ranks. Collective.

        Args:
            found: of each of this rank's micro-batches; only the last pipeline stage has them.
        """
        parallel = self._parallel
        lengths = torch.tensor([t.response_length for t in self._trajectories])
        ends = lengths.cumsum(0)
        flat = torch.zeros(int(ends[-1]), device=parallel.device)
        if parallel.is_last_stage:
            own = [(part, one) for part, one in zip(self._parts, found, strict=True) if part]
            if own:
                mine = torch.tensor([n for part, _ in own for n in part])
                places = _places(ends[mine], lengths[mine]).to(flat.device)
                flat[places] = torch.cat([one for _, one in own])
            if parallel.dp_size > 1:
                dist.all_reduce(flat, group=parallel.dp_group)
        if parallel.pp_size > 1:
            dist.broadcast(flat, group=parallel.pp_group, group_src=parallel.pp_size - 1)
        return list(torch.split(flat.cpu(), lengths.tolist()))

    def _split(self, samples: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
        if self._spec.micro_batch_size is not None:
            return micro_batches_of_size(samples, lengths, self._spec.micro_batch_size)
        budget = self._spec.max_tokens_per_gpu or DEFAULT_MAX_TOKENS_PER_GPU
        return micro_batches_by_tokens(samples, lengths, budget)

    def _of(self, part: Sequence[int]) -> list[Trajectory]:
        """The trajectories of a micro-batch, or the silent one of an empty one."""
        if part:
            return [self._trajectories[n] for n in part]
        shortest = min(self._trajectories, key=lambda trajectory: trajectory.length)
        return [shortest.replace(loss_mask=torch.zeros_like(shortest.loss_mask))]


def _common_shape(parts: Sequence[Sequence[Trajectory]]) -> tuple[int, int]:
    """Rows and positions that hold each micro-batch: interleaved stages expect all of one shape."""
    rows = max(len(part) for part in parts)
    return rows, max(one.length - 1 for part in parts for one in part)


def _places(ends: Tensor, lengths: Tensor) -> Tensor:
    """Positions in a flat sequence of the tokens of pieces with these ends and lengths."""
    first = (ends - lengths).repeat_interleave(lengths)
    before = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
    return first + torch.arange(len(first)) - before
