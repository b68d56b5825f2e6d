"""This data-parallel rank's share of a batch, and how the shares' results come together."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from jaxtyping import Float32
from torch import Tensor

from rljob.api.trainer import DEFAULT_MAX_TOKENS_PER_GPU, TrainerSpec
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.trajectories.microbatch import (
    micro_batches_by_tokens,
    micro_batches_of_size,
    rank_shares,
)
from rljob_trainer.trajectories.padded_batch import PaddedBatch, padded_batch
from rljob_trainer.trajectories.trajectory import Trajectory


class Share:
    """The micro-batches of this rank, of trajectories that every rank holds in the same order."""

    def __init__(
        self, spec: TrainerSpec, parallel: Parallel, trajectories: Sequence[Trajectory]
    ) -> None:
        """Splits the trajectories over the ranks, and this rank's over micro-batches."""
        self._spec = spec
        self._parallel = parallel
        self._trajectories = trajectories
        lengths = [trajectory.length for trajectory in trajectories]
        mine = rank_shares(lengths, parallel.dp_size)[parallel.dp_rank]
        if spec.micro_batch_size is not None:
            self._parts = micro_batches_of_size(mine, lengths, spec.micro_batch_size)
        else:
            budget = spec.max_tokens_per_gpu or DEFAULT_MAX_TOKENS_PER_GPU
            self._parts = micro_batches_by_tokens(mine, lengths, budget)

    @property
    def batches(self) -> list[PaddedBatch]:
        """This rank's micro-batches; none if it has no trajectory."""
        return [self._padded([self._trajectories[n] for n in part]) for part in self._parts]

    @property
    def batches_or_silence(self) -> list[PaddedBatch]:
        """The same, but never none: the other ranks wait for this one's part of each sum.

        A rank without a trajectory computes on the shortest one with its loss masked out, so that
        its gradient is exactly 0.
        """
        if self._parts:
            return self.batches
        shortest = min(self._trajectories, key=lambda trajectory: trajectory.length)
        silent = shortest.replace(loss_mask=torch.zeros_like(shortest.loss_mask))
        return [self._padded([silent])]

    def merged(
        self, found: Sequence[Float32[Tensor, " tokens"]]
    ) -> list[Float32[Tensor, " response"]]:
        """Values of response tokens by trajectory, on the CPU, from those of all ranks. Collective.

        Args:
            found: of each of this rank's micro-batches, one after the other. What belongs to the
                stand-in of a rank without trajectories does not count.
        """
        lengths = torch.tensor([t.response_length for t in self._trajectories])
        ends = lengths.cumsum(0)
        flat = torch.zeros(int(ends[-1]), device=self._parallel.device)
        if self._parts:
            mine = torch.tensor([n for part in self._parts for n in part])
            flat[_places(ends[mine], lengths[mine]).to(flat.device)] = torch.cat(list(found))
        if self._parallel.dp_size > 1:
            dist.all_reduce(flat, group=self._parallel.dp_group)
        return list(torch.split(flat.cpu(), lengths.tolist()))

    def _padded(self, trajectories: Sequence[Trajectory]) -> PaddedBatch:
        multiple = self._parallel.tp_size if self._spec.parallelism.sequence else 1
        return padded_batch(trajectories, self._parallel.device, multiple)


def _places(ends: Tensor, lengths: Tensor) -> Tensor:
    """Positions in a flat sequence of the tokens of pieces with these ends and lengths."""
    first = (ends - lengths).repeat_interleave(lengths)
    before = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
    return first + torch.arange(len(first)) - before
