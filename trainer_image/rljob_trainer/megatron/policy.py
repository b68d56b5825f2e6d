"""The policy: log-probabilities, optimizer steps, weights out, checkpoints. Every rank calls it."""

import math
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Float32
from megatron.core.distributed import (
    DistributedDataParallel,
    DistributedDataParallelConfig,
    finalize_model_grads,
)
from megatron.core.pipeline_parallel import get_forward_backward_func
from rljob.api import RLJob
from torch import Tensor

from rljob_trainer.megatron.conversion import Conversion
from rljob_trainer.megatron.model import build_model, resolve_dtype
from rljob_trainer.megatron.padded_batch import PaddedBatch, padded_batch
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.megatron.vocab_parallel import log_probs_and_entropy
from rljob_trainer.models.checkpoint import Safetensors
from rljob_trainer.models.config import ConfigReader, read_config
from rljob_trainer.models.registry import architecture_of
from rljob_trainer.trajectory import Trajectory


class Policy:
    """A language model, trainable or a frozen reference."""

    def __init__(
        self, job: RLJob, parallel: Parallel, checkpoint: Path, trainable: bool = True
    ) -> None:
        spec = job.spec
        where = f"model checkpoint {checkpoint}: config.json"
        fields = read_config(checkpoint, spec.model.architecture)
        architecture = architecture_of(fields, where)
        config = architecture.config(ConfigReader(fields, where))
        weights = Safetensors(checkpoint)
        weights.check(architecture.table, config)
        dtype = resolve_dtype(spec.model.dtype, parallel.device)
        self._spec = spec
        self._parallel = parallel
        self._vocabulary = config.vocabulary
        self._model = build_model(architecture, config, spec.trainer, parallel, dtype)
        inner = self._model.module if dtype == torch.bfloat16 else self._model
        self._conversion = Conversion(inner, architecture.table, config, parallel)
        self._conversion.load(weights)
        self._forward_backward = get_forward_backward_func()

    def log_probs(self, trajectories: Sequence[Trajectory]) -> list[Float32[Tensor, " response"]]:
        batches = [padded_batch(trajectories, self._parallel.device)]
        with torch.no_grad():
            self._model.eval()
            parts = self._forward_backward(
                forward_step_func=self._predict,
                data_iterator=iter(batches),
                model=self._model,
                num_microbatches=len(batches),
                seq_length=batches[0].inputs.shape[1],
                micro_batch_size=batches[0].inputs.shape[0],
                forward_only=True,
                collect_non_loss_data=True,
            )
        flat = torch.cat(parts).cpu()
        return list(flat.split([t.response_length for t in trajectories]))

    def _predict(self, batches, model):
        batch = next(batches)
        return model(batch.inputs, batch.positions, None), partial(self._collect, batch)

    def _collect(self, batch, logits, non_loss_data=True):
        lp, _ = self._score(batch, logits)
        return lp[batch.valid]

    def _score(self, batch, logits):
        at = batch.predictors[..., None].expand(-1, -1, logits.shape[-1])
        return log_probs_and_entropy(
            logits.gather(1, at),
            batch.targets,
            vocabulary=self._vocabulary,
            temperature=self._spec.rollout.sampling.temperature,
            group=self._parallel.tp_group,
        )
