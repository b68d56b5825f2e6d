"""Runs work on rank 0 and shares its outcome with every rank."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

# Ranks wait here while rank 0 waits for samples, which takes as long as generation takes. If a
# rank dies, torchrun ends them all, so the others do not wait for it.
_FOREVER = timedelta(days=30)


def patient_group() -> dist.ProcessGroup:
    """Creates a CPU group of all ranks whose calls wait however long the others take. Collective.

    Calls of one group must come in the same order on all ranks, so a thread that makes its own
    calls needs its own group.
    """
    group = dist.new_group(backend="gloo", timeout=_FOREVER)
    assert isinstance(group, dist.ProcessGroup)
    return group


class Rank0:
    """Runs functions on rank 0 and gives their result, or their exception, to all ranks.

    This way every rank takes the same branch, and an error on rank 0 ends all ranks with the same
    message instead of leaving the others in a collective.
    """

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self._group = patient_group()

    def __call__(self, work: Callable[[], T]) -> T:
        """Runs `work` on rank 0. Collective; the result must be picklable on several ranks."""
        if dist.get_world_size() == 1:
            return work()
        shared: list[tuple[T | None, Exception | None]] = [(None, None)]
        if self.rank == 0:
            try:
                shared[0] = (work(), None)
            except Exception as error:  # noqa: BLE001  (every rank raises it below)
                shared[0] = (None, error)
        dist.broadcast_object_list(shared, src=0, group=self._group)
        result, failure = shared[0]
        if failure is not None:
            raise failure
        return cast(T, result)

    def arrays(self, work: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """As a call, for tensors on the CPU, which are sent as they are instead of pickled."""
        made: dict[str, Tensor] = {}

        def shapes() -> dict[str, tuple[torch.Size, torch.dtype]]:
            made.update(work())
            return {name: (tensor.shape, tensor.dtype) for name, tensor in made.items()}

        wanted = self(shapes)
        if self.rank != 0:
            made = {name: torch.empty(size, dtype=dtype) for name, (size, dtype) in wanted.items()}
        if dist.get_world_size() > 1:
            for tensor in made.values():
                dist.broadcast(tensor, src=0, group=self._group)
        return made
