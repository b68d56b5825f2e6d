"""An optimizer step of the trainer against a bare loop of megatron-core.

Both have the same model, optimizer, schedule of micro-batches and batch, in one process, and take
turns; what counts is the core's time. The bare loop gets its micro-batches ready padded, and knows
one loss: the ratio times the advantage. The trainer shuffles, splits and pads, finds clipped
tokens, entropy and metrics, and gives back the log-probabilities.

    python benchmarks/trainer_overhead.py [--rounds 20]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.training.workload import (
    LENGTH,
    SAMPLES,
    be_alone,
    manifest,
    trajectories,
    write_model,
)
from rljob.api import RLJob
from rljob_trainer.learning.learner import Learner
from rljob_trainer.megatron import cpu
from rljob_trainer.megatron.model import Model
from rljob_trainer.megatron.optimizer import (
    OptimizerOptions,
    build_optimizer,
    build_scheduler,
    optimizer_config,
)
from rljob_trainer.megatron.parallel import Parallel, initialize
from rljob_trainer.megatron.share import Share
from rljob_trainer.process.collective import Rank0
from rljob_trainer.trajectories.padded_batch import PaddedBatch
from rljob_trainer.trajectories.trajectory import Trajectory

GOAL = 1.05
STEPS = 2  # of a block
MICRO_BATCHES = 4


class Bare:
    """megatron-core's own parts, called one after the other."""

    def __init__(self, job: RLJob, parallel: Parallel, batch: list[Trajectory]) -> None:
        # After rljob_trainer.megatron, which makes megatron-core run on a CPU.
        from megatron.core.distributed import (
            DistributedDataParallel,
            DistributedDataParallelConfig,
            finalize_model_grads,
        )
        from megatron.core.pipeline_parallel import get_forward_backward_func
        from megatron.core.tensor_parallel import ColumnParallelLinear

        (module,) = Model(job, parallel, Path(job.spec.model.checkpoint)).chunks
        # megatron-core's own, which multiplies all positions.
        module.output_layer.__class__ = ColumnParallelLinear
        options = OptimizerOptions("optimizer", job.spec.trainer.optimizer)
        config = optimizer_config(options, torch.float32)
        ddp = DistributedDataParallelConfig(
            grad_reduce_in_fp32=True, use_distributed_optimizer=config.use_distributed_optimizer
        )
        self._model = DistributedDataParallel(module.config, ddp, module)
        module.config.finalize_model_grads_func = finalize_model_grads
        self._optimizer = build_optimizer(config, [self._model])
        self._scheduler = build_scheduler(job.spec.schedule, options, config, self._optimizer)
        self._schedule = get_forward_backward_func()
        self._batches = Share(job.spec.trainer, parallel, batch).batches

    def step(self) -> float:
        """One optimizer step; returns the norm of its gradient."""
        self._model.train()
        self._model.zero_grad_buffer()
        self._optimizer.zero_grad()
        self._schedule(
            forward_step_func=self._forward,
            data_iterator=iter(self._batches),
            model=self._model,
            num_microbatches=len(self._batches),
            seq_length=LENGTH - 1,
            micro_batch_size=SAMPLES // MICRO_BATCHES,
            forward_only=False,
        )
        with cpu.named_as_cuda():
            _, norm, _ = self._optimizer.step()
        self._scheduler.step(increment=1)
        return float(norm)

    def _forward(
        self, batches: Iterator[PaddedBatch], model: Any
    ) -> tuple[Tensor, Callable[..., Any]]:
        batch = next(batches)
        return model(batch.inputs, batch.positions, None), partial(_loss, batch)


def _loss(batch: PaddedBatch, logits: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Minus the ratio times the advantage, its mean over all samples."""
    at = batch.predictors[..., None].expand(-1, -1, logits.shape[-1])
    predicted = logits.gather(1, at).transpose(1, 2)
    log_probs = -torch.nn.functional.cross_entropy(predicted, batch.targets, reduction="none")
    ratio = (log_probs - log_probs.detach()).exp()
    each = -(ratio * batch.advantages * batch.loss_mask).sum(-1) / batch.loss_mask.sum(-1)
    loss = each.sum() / SAMPLES
    return loss, torch.zeros((), dtype=torch.int), {"loss": loss.detach()}


def _seconds(step: Callable[[], object]) -> float:
    """Of one step, in a block of them: of the core, so that other load counts less."""
    began = time.process_time()
    for _ in range(STEPS):
        step()
    return (time.process_time() - began) / STEPS


def main() -> None:
    """Prints a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    be_alone()
    with tempfile.TemporaryDirectory() as name:
        fields = manifest(write_model(Path(name, "model")))
        fields["spec"]["trainer"]["maxTokensPerGpu"] = SAMPLES * LENGTH // MICRO_BATCHES
        job = RLJob.model_validate(fields)
        parallel = initialize(job)
        batch = [one.replace(old_log_probs=None) for one in trajectories()]
        learner = Learner(job, parallel, Rank0(0))
        bare = Bare(job, parallel, batch)

    def ours() -> float:
        return learner.learn(batch, rollout=0).metrics["train/gradient_norm"]

    norms = (ours(), bare.step())  # also the warm-up
    assert abs(norms[0] / norms[1] - 1) < 1e-3, f"not the same step: gradients of norm {norms}"
    rounds = [(_seconds(ours), _seconds(bare.step)) for _ in range(arguments.rounds)]
    tokens = SAMPLES * LENGTH
    seconds = [statistics.median(column) for column in zip(*rounds, strict=True)]
    for kind, value in zip(("trainer", "megatron-core alone"), seconds, strict=True):
        print(f"{kind:22}{value:8.3f} s a step{1e6 * value / tokens:10.1f} us a token")
    ratios = [ours / bare for ours, bare in rounds]
    print(f"ratios of {len(ratios)} rounds: {min(ratios):.3f} to {max(ratios):.3f}")
    result = {
        "name": "an optimizer step of the trainer against megatron-core alone",
        "value": round(1e6 * seconds[0] / tokens, 1),
        "unit": "us/token",
        "peer": round(1e6 * seconds[1] / tokens, 1),
        "ratio": round(statistics.median(ratios), 3),
        "goal": GOAL,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
