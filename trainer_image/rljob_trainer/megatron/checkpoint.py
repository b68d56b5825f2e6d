"""Checkpoints of a run: weights, optimizer, schedule and random states, by dist_checkpointing."""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from megatron.core import dist_checkpointing, tensor_parallel
from megatron.core.dist_checkpointing.mapping import ShardedObject, ShardedTensor
from megatron.core.dist_checkpointing.strategies.torch import (
    MCoreSavePlanner,
    TorchDistSaveShardedStrategy,
    _replace_state_dict_keys_with_sharded_keys,
    mcore_to_pyt_state_dict,
)
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_saver import save as save_distributed

from rljob_trainer.megatron import optimizer_state
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.process.collective import patient_group

# A checkpoint can be resumed with other parallel sizes.
_RESHARDABLE = {"distrib_optim_sharding_type": "fully_reshardable"}


class _Capture(TorchDistSaveShardedStrategy):  # type: ignore[misc]  # megatron publishes no types
    """megatron-core's torch_dist format: `save` copies the data to write, `write` writes it.

    Its own strategy forks writers and keeps a manager process, in order to write while training
    continues; starting those takes seconds, and a fork of a process with threads may hang.
    """

    def __init__(self, group: dist.ProcessGroup) -> None:
        super().__init__("torch_dist", 1)
        self._group = group
        self._state: dict[str, Any] = {}
        self._directory = ""

    def save(self, sharded_state_dict: dict[str, Any], checkpoint_dir: str) -> None:
        parts, _, _ = _replace_state_dict_keys_with_sharded_keys(
            sharded_state_dict, keep_only_main_replica=True
        )
        copied = {key: [_copied(part) for part in each] for key, each in parts.items()}
        self._state = mcore_to_pyt_state_dict(copied, False)
        self._directory = checkpoint_dir

    def write(self) -> None:
        save_distributed(
            self._state,
            storage_writer=FileSystemWriter(self._directory),
            planner=MCoreSavePlanner(dedup_replicated_tensors=False, flatten_state_dict=False),
            process_group=self._group,
        )


class Weights:
    """The weights of a model, as a checkpoint holds them."""

    def __init__(self, chunks: Iterable[Any], parallel: Parallel) -> None:
        """Takes the model's parts on this rank."""
        self._chunks = list(chunks)
        self._parallel = parallel
        self._writers = patient_group()

    def capture(self, directory: Path) -> Callable[[], None]:
        """Copies the current state, to be written to an existing, empty directory. Collective.

        The returned function writes the copy, in any thread, while training continues. It is
        collective, too: at least on rank 0, it returns once all ranks have written their parts.

        Raises:
            OSError: writing fails, e.g. because the disk is full; also from that function.
        """
        state = self._sharded(is_loading=False)
        metadata = {**_RESHARDABLE, "world_size": self._parallel.world_size}
        capture = _Capture(self._writers)
        _told(
            directory,
            lambda: dist_checkpointing.save(
                state, str(directory), sharded_strategy=capture, content_metadata=metadata
            ),
        )
        return lambda: _told(directory, capture.write)

    def load(self, directory: Path) -> None:
        """Restores a checkpoint's state. Collective."""
        state = dist_checkpointing.load(self._sharded(is_loading=True), str(directory))
        load_sharded(self._chunks, state["model"])

    def _sharded(self, *, is_loading: bool) -> dict[str, Any]:
        del is_loading  # of the weights alone, both are the same
        return {"model": sharded(self._chunks)}


class TrainState(Weights):
    """Everything a training process needs to continue as if it had not stopped."""

    def __init__(
        self, chunks: Iterable[Any], optimizer: Any, scheduler: Any, parallel: Parallel
    ) -> None:
        super().__init__(chunks, parallel)
        self._optimizer = optimizer
        self._scheduler = scheduler

    def load(self, directory: Path) -> None:
        """Restores a checkpoint's state; settings stay the present job's. Collective."""
        wanted = self._sharded(is_loading=True)
        metadata = dist_checkpointing.load_content_metadata(str(directory))
        if metadata["world_size"] != self._parallel.world_size:
            del wanted["random"]  # those states belong to another number of processes
        state = dist_checkpointing.load(wanted, str(directory))
        load_sharded(self._chunks, state["model"])
        optimizer_state.load(self._optimizer, state["optimizer"], state["step"])
        # Only the position is restored: rates, decay and lengths are those of the present job.
        self._scheduler.num_steps = state["scheduler"]["num_steps"]
        self._scheduler.step(increment=0)
        if "random" in state:
            _set_random_states(state["random"])

    def _sharded(self, *, is_loading: bool) -> dict[str, Any]:
        model = sharded(self._chunks)
        optimizer = self._optimizer.sharded_state_dict(
            model, is_loading=is_loading, metadata=_RESHARDABLE
        )
        return {
            "model": model,
            "optimizer": optimizer,
            "scheduler": self._scheduler.state_dict(),
            "step": optimizer_state.current_step(self._optimizer),
            "random": ShardedObject(
                "random",
                _random_states(),
                (self._parallel.world_size,),
                (self._parallel.rank,),
            ),
        }


def sharded(chunks: Iterable[Any]) -> dict[str, Any]:
    """The weights of a model's parts, by number, as dist_checkpointing stores them.

    What is stored does not depend on the parts: layers have their numbers in the whole model.
    """
    return {str(number): chunk.sharded_state_dict() for number, chunk in enumerate(chunks)}


def load_sharded(chunks: Iterable[Any], state: Mapping[str, Any]) -> None:
    """Sets the weights of a model's parts from what was loaded for `sharded`."""
    for number, chunk in enumerate(chunks):
        chunk.load_state_dict(state[str(number)])


def _copied(part: ShardedTensor | ShardedObject) -> ShardedTensor | ShardedObject:
    """Copies a tensor to the CPU. The other objects are created for each save anyway."""
    if isinstance(part, ShardedTensor):
        return replace(part, data=part.data.detach().to("cpu", copy=True))
    return part


def _told(directory: Path, write: Callable[[], object]) -> None:
    """Calls `write`; any failure becomes an OSError that names the directory."""
    try:
        write()
    except CheckpointException as error:  # a failure on any rank, raised on all
        rank, (cause, _) = next(iter(error.failures.items()))
        raise OSError(f"checkpoint {directory}: not written by rank {rank}: {cause}") from error
    except (OSError, RuntimeError) as error:  # torch turns some of the first into the second
        raise OSError(f"checkpoint {directory}: not written: {error}") from error


def _random_states() -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(),
        "parallel": tensor_parallel.get_cuda_rng_tracker().get_states(),
    }


def _set_random_states(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    tensor_parallel.random._set_cuda_rng_state(states["cuda"])
    tensor_parallel.get_cuda_rng_tracker().set_states(states["parallel"])
