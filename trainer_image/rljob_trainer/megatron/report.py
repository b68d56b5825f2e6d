"""How the metrics of micro-batches and ranks become those of a step."""

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from jaxtyping import Float32
from torch import Tensor

from rljob_trainer.megatron.parallel import Parallel

LARGEST = "_max"  # ends the name of a metric of which the largest value counts


def merged(
    reports: Sequence[Mapping[str, Float32[Tensor, ""]]], parallel: Parallel
) -> dict[str, float]:
    """The metrics of a step, alike on all ranks. Collective.

    Each is the sum of the micro-batches' parts; of those whose name ends with "_max", the largest.

    Args:
        reports: of each of this rank's micro-batches, at least one, all with the same names; only
            the last pipeline stage has them.
        parallel: the layout of the ranks.
    """
    shared = [_of_replicas(reports, parallel) if parallel.is_last_stage else {}]
    if parallel.pp_size > 1:
        last = parallel.pp_size - 1
        dist.broadcast_object_list(shared, group=parallel.pp_group, group_src=last)
    return shared[0]


def _of_replicas(
    reports: Sequence[Mapping[str, Float32[Tensor, ""]]], parallel: Parallel
) -> dict[str, float]:
    """The metrics of all data-parallel ranks."""
    parts = torch.stack([torch.stack(list(each.values())) for each in reports])
    names = list(reports[0])
    is_largest = torch.tensor([name.endswith(LARGEST) for name in names], device=parts.device)
    total, largest = parts.sum(0), parts.amax(0)
    if parallel.dp_size > 1:
        dist.all_reduce(total, group=parallel.dp_group)
        if is_largest.any():
            dist.all_reduce(largest, dist.ReduceOp.MAX, group=parallel.dp_group)
    return dict(zip(names, torch.where(is_largest, largest, total).tolist(), strict=True))
