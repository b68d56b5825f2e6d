"""Checkpoints of a run: weights, optimizer, schedule and random states, by dist_checkpointing."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from megatron.core import dist_checkpointing, tensor_parallel
from megatron.core.dist_checkpointing.mapping import ShardedObject

from rljob_trainer.megatron.parallel import Parallel

# Reshardable: a checkpoint can go on with other parallel sizes.
_METADATA = {"distrib_optim_sharding_type": "fully_reshardable"}


class TrainState:
    """All that a training process must have to go on as if it had not stopped."""

    def __init__(self, model: Any, optimizer: Any, scheduler: Any, parallel: Parallel) -> None:
        self._model = model
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._parallel = parallel

    def save(self, directory: Path) -> None:
        """Writes into an existing, empty directory. Collective.

        Raises:
            OSError: it can't be written, e.g. the disk is full.
        """
        state = self._sharded(is_loading=False)
        try:
            dist_checkpointing.save(state, str(directory), content_metadata=_METADATA)
        except Exception as error:
            raise OSError(f"checkpoint {directory}: not written: {error}") from error

    def load(self, directory: Path) -> None:
        """Takes over the state of a checkpoint. Collective."""
        state = dist_checkpointing.load(self._sharded(is_loading=True), str(directory))
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        self._restore_steps(state["step"])
        if "random" in state:
            _set_random_states(state["random"])

    def _sharded(self, *, is_loading: bool) -> dict[str, Any]:
        model = self._model.sharded_state_dict()
        optimizer = self._optimizer.sharded_state_dict(
            model, is_loading=is_loading, metadata=_METADATA
        )
        return {
            "model": model,
            "optimizer": optimizer,
            "scheduler": self._scheduler.state_dict(),
            "step": self._step(),
            "random": ShardedObject(
                "random",
                _random_states(),
                (self._parallel.world_size,),
                (self._parallel.rank,),
            ),
        }

    def _states(self) -> list[dict[str, Any]]:
        return [state for _, state in self._optimizer.state.items()]
