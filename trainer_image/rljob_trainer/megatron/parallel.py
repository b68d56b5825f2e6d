"""The trainer's processes and how they share the work; sets megatron-core's globals."""

import os
import random
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from megatron.core import parallel_state, tensor_parallel

from rljob.api import RLJob
from rljob.errors import UsageError


@dataclass(frozen=True)
class Parallel:
    """This process's place: its rank among all, and in its tensor- and data-parallel groups."""

    rank: int
    world_size: int
    device: torch.device
    tp_rank: int
    tp_size: int
    dp_rank: int
    dp_size: int

    @property
    def tp_group(self) -> dist.ProcessGroup:
        """Ranks that together hold one copy of the model."""
        group: dist.ProcessGroup = parallel_state.get_tensor_model_parallel_group()
        return group

    @property
    def dp_group(self) -> dist.ProcessGroup:
        """Ranks that hold the same shard of the model."""
        group: dist.ProcessGroup = parallel_state.get_data_parallel_group()
        return group


def initialize(job: RLJob) -> Parallel:
    """Joins the other processes, as torchrun's environment says, and seeds random numbers.

    Raises:
        UsageError: the job asks for a kind of parallelism that is not supported.
    """
    wanted = job.spec.trainer.parallelism
    for kind in ("pipeline", "context", "expert"):
        size = getattr(wanted, kind)
        if size > 1:
            raise UsageError(f"spec.trainer.parallelism.{kind}: found {size}, allowed: 1")
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if world_size % wanted.tensor:
        raise UsageError(
            f"spec.trainer.parallelism.tensor: found {wanted.tensor}, allowed: a divisor of the "
            f"trainer's {world_size} processes"
        )
    device = _device(world_size)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=wanted.tensor)
    _seed(job.spec.seed)
    return Parallel(
        rank=rank,
        world_size=world_size,
        device=device,
        tp_rank=parallel_state.get_tensor_model_parallel_rank(),
        tp_size=parallel_state.get_tensor_model_parallel_world_size(),
        dp_rank=parallel_state.get_data_parallel_rank(),
        dp_size=parallel_state.get_data_parallel_world_size(),
    )


def _device(world_size: int) -> torch.device:
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
        return device
    if "OMP_NUM_THREADS" not in os.environ:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", world_size))
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // local))
    return torch.device("cpu")


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    tensor_parallel.model_parallel_cuda_manual_seed(seed)
