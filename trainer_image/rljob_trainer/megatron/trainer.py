"""Optimizer steps of one model."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float32
from megatron.core.distributed import (
    DistributedDataParallel,
    DistributedDataParallelConfig,
    finalize_model_grads,
)
from torch import Tensor

from rljob.api import RLJob
from rljob_trainer.megatron.checkpoint import TrainState
from rljob_trainer.megatron.cpu import named_as_cuda
from rljob_trainer.megatron.forward import Forward, Loss
from rljob_trainer.megatron.heads import Head
from rljob_trainer.megatron.model import Model
from rljob_trainer.megatron.optimizer import (
    OptimizerOptions,
    build_optimizer,
    build_scheduler,
    optimizer_config,
)
from rljob_trainer.megatron.report import merged
from rljob_trainer.megatron.share import Share
from rljob_trainer.trajectories.padded_batch import PaddedBatch
from rljob_trainer.trajectories.trajectory import Trajectory


class Trainer:
    """Updates a model's weights: gradients over data-parallel ranks, optimizer, schedule.

    Every rank makes the same calls with the same arguments.
    """

    def __init__(
        self,
        job: RLJob,
        model: Model,
        *,
        head: Head | None = None,
        options: OptimizerOptions | None = None,
        name: str = "train",
    ) -> None:
        """Wraps the model in Megatron's DDP and builds the optimizer.

        Args:
            job: with the settings of layout and schedule.
            model: changed by each step.
            head: reads what the loss needs, in place of the model's own.
            options: of the optimizer, in place of `trainer.optimizer`.
            name: begins the names of the optimizer's metrics.

        Raises:
            UsageError: megatron-core refuses an option.
        """
        spec = job.spec
        options = options or OptimizerOptions("spec.trainer.optimizer", spec.trainer.optimizer)
        config = optimizer_config(options, model.dtype)
        self._name = name
        self._spec = spec.trainer
        self._parallel = model.parallel
        ddp = DistributedDataParallelConfig(
            grad_reduce_in_fp32=True, use_distributed_optimizer=config.use_distributed_optimizer
        )
        self._chunks = [
            DistributedDataParallel(config=chunk.config, ddp_config=ddp, module=chunk)
            for chunk in model.chunks
        ]
        for chunk in self._chunks:
            chunk.config.finalize_model_grads_func = _sum_gradients
        temperature = spec.rollout.sampling.temperature
        self._forward = Forward(self._chunks, head or model.head, temperature=temperature)
        self._optimizer = build_optimizer(config, self._chunks)
        self._scheduler = build_scheduler(spec.schedule, options, config, self._optimizer)
        self._state = TrainState(model.chunks, self._optimizer, self._scheduler, self._parallel)

    def step(self, trajectories: Sequence[Trajectory], loss: Loss) -> dict[str, float]:
        """One optimizer step over exactly these trajectories, the global batch.

        A step with a gradient that is not finite changes nothing and reports train/skipped 1.

        Args:
            trajectories: all of them, on every rank.
            loss: takes a micro-batch and what the model's head reads of it. Its losses and metrics
                come together over micro-batches and ranks as `merged` says.

        Returns:
            The metrics of the loss, train/gradient_norm, train/learning_rate and train/skipped.
        """
        return self._step(Share(self._spec, self._parallel, trajectories), loss)

    def step_and_score(
        self, trajectories: Sequence[Trajectory], loss: Loss
    ) -> tuple[dict[str, float], list[Float32[Tensor, " response"]]]:
        """As `step`; also returns what a `Scorer` would have given before it.

        For models without dropout only: it comes from the forward pass of the step.
        """
        found: list[Tensor] = []

        def noting(batch: PaddedBatch, first: Tensor, *others: Tensor) -> Any:
            found.append(first.detach()[batch.valid])
            return loss(batch, first, *others)

        share = Share(self._spec, self._parallel, trajectories)
        return self._step(share, noting), share.merged(found)

    def capture(self, directory: Path) -> Callable[[], None]:
        """Copies the current training state, for an existing, empty directory. Collective.

        Returns:
            A function that writes the copy, in any thread, while training continues; on rank 0 it
            returns once all ranks have written theirs.

        Raises:
            OSError: writing fails, e.g. because the disk is full; also from that function.
        """
        return self._state.capture(directory)

    def load(self, directory: Path) -> None:
        """Restores what `capture` has written. Collective."""
        self._state.load(directory)

    def _step(self, share: Share, loss: Loss) -> dict[str, float]:
        for chunk in self._chunks:
            chunk.zero_grad_buffer()
        self._optimizer.zero_grad()
        reports = self._forward.backward(share.batches, loss)
        return merged(reports, self._parallel) | self._apply()

    def _apply(self) -> dict[str, float]:
        """Clips and applies the gradients, if their norm is finite."""
        rate = self._optimizer.param_groups[0]["lr"]
        self._optimizer.prepare_grads()
        norm = self._optimizer.get_grad_norm()
        finite = math.isfinite(norm)
        if finite:
            with named_as_cuda():
                self._optimizer.step()
            self._scheduler.step(increment=1)
        return {
            f"{self._name}/gradient_norm": norm,
            f"{self._name}/learning_rate": rate,
            f"{self._name}/skipped": float(not finite),
        }


def _sum_gradients(model: list[Any], _num_tokens: Any, **kwargs: Any) -> None:
    """Sums gradients over ranks without dividing them: the loss is already normalized."""
    finalize_model_grads(model, None, **kwargs)
