"""The policy: log-probabilities, optimizer steps, weights out, checkpoints.

Every rank makes the same calls with the same arguments.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float32
from megatron.core.distributed import (
    DistributedDataParallel,
    DistributedDataParallelConfig,
    finalize_model_grads,
)
from torch import Tensor

from rljob.api import RLJob
from rljob.api.trainer import DEFAULT_MAX_TOKENS_PER_GPU
from rljob_trainer.algorithms.objective import Objective
from rljob_trainer.megatron.checkpoint import TrainState
from rljob_trainer.megatron.conversion import Conversion
from rljob_trainer.megatron.cpu import named_as_cuda
from rljob_trainer.megatron.forward import Forward
from rljob_trainer.megatron.model import build_model, resolve_dtype
from rljob_trainer.megatron.optimizer import build_optimizer, build_scheduler, optimizer_config
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.models.checkpoint import save_checkpoint
from rljob_trainer.models.source import open_source
from rljob_trainer.trajectories.microbatch import (
    micro_batches_by_tokens,
    micro_batches_of_size,
    rank_shares,
)
from rljob_trainer.trajectories.padded_batch import PaddedBatch, padded_batch
from rljob_trainer.trajectories.trajectory import Trajectory

_TINY = 20_000_000  # parameters; below this a second thread costs more than it gains


class Policy:
    """A language model, trainable or a frozen reference."""

    def __init__(
        self, job: RLJob, parallel: Parallel, checkpoint: Path, trainable: bool = True
    ) -> None:
        """Builds the model and reads its weights from a Hugging Face checkpoint.

        Raises:
            UsageError: the checkpoint, or an option of the job, is wrong.
        """
        spec = job.spec
        source = open_source(checkpoint, spec.model.architecture)
        architecture, config = source.architecture, source.config
        dtype = resolve_dtype(spec.model.dtype, parallel.device)
        model = build_model(architecture, config, spec.trainer, parallel, dtype)
        self._spec = spec
        self._parallel = parallel
        self._checkpoint = checkpoint
        self.vocabulary = config.vocabulary
        self.dtype = dtype
        self._conversion = Conversion(model, architecture.table, config, parallel)
        self._conversion.load(source.weights)
        self._objective = Objective(spec.algorithm)
        self._trainer = _Trainer(job, model, parallel, dtype) if trainable else None
        if not trainable:
            model.requires_grad_(False)
        self._forward = Forward(
            self._trainer.model if self._trainer else model,
            parallel,
            vocabulary=config.vocabulary,
            temperature=spec.rollout.sampling.temperature,
        )
        if parallel.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
            size = sum(parameter.numel() for parameter in model.parameters())
            if size <= _TINY:
                torch.set_num_threads(1)

    def log_probs(
        self, trajectories: Sequence[Trajectory], *, temperature: float | None = None
    ) -> list[Float32[Tensor, " response"]]:
        """Log-probabilities of each trajectory's response tokens, on the CPU, in the given order.

        At the temperature of the job's sampling, unless another is given.
        """
        if not trajectories:
            return []
        micro_batches = self._micro_batches(trajectories)
        batches = [self._padded([trajectories[n] for n in part]) for part in micro_batches]
        found = self._forward.log_probs(batches, temperature=temperature) if batches else []
        return self._in_order(trajectories, micro_batches, found)

    def step(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """One optimizer step over exactly these trajectories, the global batch.

        A step with a gradient that is not finite changes nothing and reports train/skipped 1.
        """
        return self._step(trajectories, self._objective)

    def step_and_score(
        self, trajectories: Sequence[Trajectory]
    ) -> tuple[dict[str, float], list[Float32[Tensor, " response"]]]:
        """As `step`; also returns the log-probabilities from before it, as `log_probs` would.

        For models without dropout only: they come from the forward pass of the step.
        """
        found: list[Tensor] = []

        def loss(batch: PaddedBatch, log_probs: Tensor, entropy: Tensor, **count: int) -> Any:
            found.append(log_probs.detach()[batch.valid])
            return self._objective(batch, log_probs, entropy, **count)

        report = self._step(trajectories, loss)
        micro_batches = self._micro_batches(trajectories)
        # A rank without samples has scored a stand-in that does not count.
        return report, self._in_order(trajectories, micro_batches, found if micro_batches else [])

    def _step(
        self, trajectories: Sequence[Trajectory], objective: Callable[..., Any]
    ) -> dict[str, float]:
        assert self._trainer is not None, "a frozen policy makes no steps"
        loss = partial(objective, global_batch_size=len(trajectories))
        parts = [[trajectories[n] for n in part] for part in self._micro_batches(trajectories)]
        batches = [self._padded(part) for part in parts or [[_silent(trajectories)]]]
        self._trainer.zero_gradients()
        reports = self._forward.backward(batches, loss)
        report = torch.stack([torch.stack(list(each.values())) for each in reports]).sum(0)
        if self._parallel.dp_size > 1:
            dist.all_reduce(report, group=self._parallel.dp_group)
        return dict(zip(reports[0], report.tolist(), strict=True)) | self._trainer.step()

    def export(self) -> Iterator[tuple[str, Tensor]]:
        """Full weights by their Hugging Face names, in a fixed order, on rank 0. Collective.

        The other ranks get nothing, but have to iterate, too. The tensors are views of the live
        weights where possible.
        """
        return self._conversion.export()

    def save_huggingface(self, directory: Path) -> None:
        """Writes a Hugging Face checkpoint for transformers and engines. Collective.

        It appears only when it is complete; an existing one is replaced.
        """
        weights = self.export()
        if self._parallel.rank == 0:
            save_checkpoint(directory, weights, source=self._checkpoint)
        else:
            for _ in weights:
                pass

    def capture(self, directory: Path) -> Callable[[], None]:
        """Copies the current training state, for an existing, empty directory. Collective.

        Returns:
            A function that writes the copy, in any thread, while training continues; on rank 0 it
            returns once all ranks have written theirs.

        Raises:
            OSError: writing fails, e.g. because the disk is full; also from that function.
        """
        assert self._trainer is not None, "a frozen policy has nothing to save"
        return self._trainer.state.capture(directory)

    def load(self, directory: Path) -> None:
        """Restores what `capture` has written. Collective."""
        assert self._trainer is not None, "a frozen policy has nothing to load"
        self._trainer.state.load(directory)

    def _in_order(
        self,
        trajectories: Sequence[Trajectory],
        micro_batches: Sequence[Sequence[int]],
        found: Sequence[Float32[Tensor, " tokens"]],
    ) -> list[Float32[Tensor, " response"]]:
        """Merges the values of this rank's micro-batches with the other ranks', by trajectory."""
        lengths = torch.tensor([t.response_length for t in trajectories])
        ends = lengths.cumsum(0)
        flat = torch.zeros(int(ends[-1]), device=self._parallel.device)
        if found:
            mine = torch.tensor([n for part in micro_batches for n in part])
            flat[_places(ends[mine], lengths[mine]).to(flat.device)] = torch.cat(list(found))
        if self._parallel.dp_size > 1:
            dist.all_reduce(flat, group=self._parallel.dp_group)
        return list(torch.split(flat.cpu(), lengths.tolist()))

    def _padded(self, trajectories: Sequence[Trajectory]) -> PaddedBatch:
        sequence = self._spec.trainer.parallelism.sequence
        multiple = self._parallel.tp_size if sequence else 1
        return padded_batch(trajectories, self._parallel.device, multiple)

    def _micro_batches(self, trajectories: Sequence[Trajectory]) -> list[list[int]]:
        """Indices of the trajectories of this data-parallel rank, by micro-batch."""
        lengths = [trajectory.length for trajectory in trajectories]
        mine = rank_shares(lengths, self._parallel.dp_size)[self._parallel.dp_rank]
        trainer = self._spec.trainer
        if trainer.micro_batch_size is not None:
            return micro_batches_of_size(mine, lengths, trainer.micro_batch_size)
        budget = trainer.max_tokens_per_gpu or DEFAULT_MAX_TOKENS_PER_GPU
        return micro_batches_by_tokens(mine, lengths, budget)


def _silent(trajectories: Sequence[Trajectory]) -> Trajectory:
    """The shortest trajectory, with its loss masked out, so that its gradient is exactly 0.

    A data-parallel rank without a sample of the batch computes on it, because the others wait for
    its part of each sum.
    """
    shortest = min(trajectories, key=lambda trajectory: trajectory.length)
    return shortest.replace(loss_mask=torch.zeros_like(shortest.loss_mask))


def _places(ends: Tensor, lengths: Tensor) -> Tensor:
    """Positions in a flat sequence of the tokens of pieces with these ends and lengths."""
    first = (ends - lengths).repeat_interleave(lengths)
    before = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
    return first + torch.arange(len(first)) - before


class _Trainer:
    """Updates the weights: sums gradients over data-parallel ranks; optimizer, schedule."""

    def __init__(self, job: RLJob, model: Any, parallel: Parallel, dtype: torch.dtype) -> None:
        config = optimizer_config(job.spec.trainer.optimizer, dtype)
        self.model = DistributedDataParallel(
            config=model.config,
            ddp_config=DistributedDataParallelConfig(
                grad_reduce_in_fp32=True,
                use_distributed_optimizer=config.use_distributed_optimizer,
            ),
            module=model,
        )
        model.config.finalize_model_grads_func = _sum_gradients
        self._optimizer = build_optimizer(config, self.model)
        self._scheduler = build_scheduler(job, config, self._optimizer)
        self.state = TrainState(model, self._optimizer, self._scheduler, parallel)

    def zero_gradients(self) -> None:
        """Resets the gradients before the first micro-batch of a step."""
        self.model.zero_grad_buffer()
        self._optimizer.zero_grad()

    def step(self) -> dict[str, float]:
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
            "train/gradient_norm": norm,
            "train/learning_rate": rate,
            "train/skipped": float(not finite),
        }


def _sum_gradients(model: list[Any], _num_tokens: Any, **kwargs: Any) -> None:
    """Sums gradients over ranks without dividing them: the loss is already normalized."""
    finalize_model_grads(model, None, **kwargs)
