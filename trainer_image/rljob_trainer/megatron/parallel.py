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
    """This process's place: its rank among all, and along each axis of the layout.

    Data parallelism is what the other axes leave of the processes. Experts have axes of their own,
    over the same processes: `ep` and `etp` split their weights, where the other weights have `tp`
    and `dp`.
    """

    rank: int
    world_size: int
    device: torch.device
    tp_rank: int
    tp_size: int
    pp_rank: int
    pp_size: int
    chunks: int  # parts of the model on each pipeline stage: 1, or more if they are interleaved
    dp_rank: int
    dp_size: int
    ep_rank: int
    ep_size: int
    etp_rank: int
    etp_size: int

    @property
    def is_last_stage(self) -> bool:
        """Whether this process computes the model's output."""
        return self.pp_rank == self.pp_size - 1

    @property
    def tp_group(self) -> dist.ProcessGroup:
        """Ranks that together hold one copy of a layer."""
        group: dist.ProcessGroup = parallel_state.get_tensor_model_parallel_group()
        return group

    @property
    def dp_group(self) -> dist.ProcessGroup:
        """Ranks that hold the same shard of the model."""
        group: dist.ProcessGroup = parallel_state.get_data_parallel_group()
        return group

    @property
    def pp_group(self) -> dist.ProcessGroup:
        """Ranks that together compute one micro-batch, in the order of their stages."""
        group: dist.ProcessGroup = parallel_state.get_pipeline_model_parallel_group()
        return group


def initialize(job: RLJob) -> Parallel:
    """Joins the other processes, as torchrun's environment says, and seeds random numbers.

    Raises:
        UsageError: the job asks for a kind of parallelism that is not supported, or sizes that do
            not divide the number of processes.
    """
    wanted = job.spec.trainer.parallelism
    if wanted.context > 1:
        raise UsageError(
            f"spec.trainer.parallelism.context: found {wanted.context}, allowed: 1 (not supported)"
        )
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    expert_tensor = wanted.expert_tensor or wanted.tensor
    _check_division(
        world_size,
        {"tensor": wanted.tensor, "pipeline": wanted.pipeline},
    )
    _check_division(
        world_size,
        {"expert": wanted.expert, "expertTensor": expert_tensor, "pipeline": wanted.pipeline},
    )
    device = _device(world_size)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    chunks = wanted.virtual_pipeline or 1
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=wanted.tensor,
        pipeline_model_parallel_size=wanted.pipeline,
        virtual_pipeline_model_parallel_size=chunks if chunks > 1 else None,
        expert_model_parallel_size=wanted.expert,
        expert_tensor_parallel_size=expert_tensor,
    )
    _seed(job.spec.seed)
    return Parallel(
        rank=rank,
        world_size=world_size,
        device=device,
        tp_rank=parallel_state.get_tensor_model_parallel_rank(),
        tp_size=wanted.tensor,
        pp_rank=parallel_state.get_pipeline_model_parallel_rank(),
        pp_size=wanted.pipeline,
        chunks=chunks,
        dp_rank=parallel_state.get_data_parallel_rank(),
        dp_size=parallel_state.get_data_parallel_world_size(),
        ep_rank=parallel_state.get_expert_model_parallel_rank(),
        ep_size=wanted.expert,
        etp_rank=parallel_state.get_expert_tensor_parallel_rank(),
        etp_size=expert_tensor,
    )


def _check_division(world_size: int, sizes: dict[str, int]) -> None:
    """Refuses sizes whose product does not divide the processes."""
    product = 1
    for size in sizes.values():
        product *= size
    if world_size % product:
        words = " x ".join(f"{name} {size}" for name, size in sizes.items())
        raise UsageError(
            f"spec.trainer.parallelism: found {words} = {product}, allowed: a divisor of the "
            f"trainer's {world_size} processes"
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
