"""Forward and backward passes over micro-batches, by megatron-core's schedule."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Float32
from megatron.core.pipeline_parallel import get_forward_backward_func
from torch import Tensor

from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.megatron.vocab_parallel import log_probs_and_entropy
from rljob_trainer.trajectories.padded_batch import PaddedBatch

# Takes a micro-batch, its log-probabilities and its entropies; returns the loss and metrics.
Loss = Callable[[PaddedBatch, Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]


class Forward:
    """Runs micro-batches through a model."""

    def __init__(
        self, model: Any, parallel: Parallel, *, vocabulary: int, temperature: float
    ) -> None:
        self._model = model
        self._parallel = parallel
        self._vocabulary = vocabulary
        self._temperature = temperature
        self._schedule = get_forward_backward_func()

    @torch.no_grad()
    def log_probs(
        self, batches: Sequence[PaddedBatch], *, temperature: float | None = None
    ) -> list[Float32[Tensor, " tokens"]]:
        """Log-probabilities of the response tokens of each micro-batch, without padding.

        Uses the temperature of sampling, unless another is given.
        """
        self._model.eval()

        def collect(batch: PaddedBatch, logits: Tensor, *, non_loss_data: bool) -> Tensor:
            log_probs, _ = self._score(batch, logits, temperature or self._temperature)
            return log_probs[batch.valid]

        return self._run(batches, collect, forward_only=True)

    def backward(self, batches: Sequence[PaddedBatch], loss: Loss) -> list[dict[str, Tensor]]:
        """Adds the gradients of the summed losses; returns the metrics of each micro-batch."""
        self._model.train()
        # megatron-core would divide gradients by this token count; 0 leaves them as they are.
        no_count = torch.zeros((), dtype=torch.int, device=self._parallel.device)

        def score(batch: PaddedBatch, logits: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
            value, report = loss(batch, *self._score(batch, logits, self._temperature))
            return value, no_count, {name: part.detach() for name, part in report.items()}

        return self._run(batches, score, forward_only=False)

    def _run(
        self, batches: Sequence[PaddedBatch], consume: Callable[..., Any], *, forward_only: bool
    ) -> list[Any]:
        def step(batches: Iterator[PaddedBatch], model: Any) -> tuple[Tensor, Callable[..., Any]]:
            batch = next(batches)
            return model(batch.inputs, batch.positions, None), partial(consume, batch)

        results: list[Any] = self._schedule(
            forward_step_func=step,
            data_iterator=iter(batches),
            model=self._model,
            num_microbatches=len(batches),
            seq_length=max(batch.inputs.shape[1] for batch in batches),
            micro_batch_size=max(batch.inputs.shape[0] for batch in batches),
            forward_only=forward_only,
            collect_non_loss_data=forward_only,
        )
        return results

    def _score(
        self, batch: PaddedBatch, logits: Float[Tensor, "batch position part"], temperature: float
    ) -> tuple[Float32[Tensor, "batch response"], Float32[Tensor, "batch response"]]:
        """Log-probabilities and entropies; only response tokens' logits are looked at."""
        at = batch.predictors[..., None].expand(-1, -1, logits.shape[-1])
        return log_probs_and_entropy(
            logits.gather(1, at),
            batch.targets,
            vocabulary=self._vocabulary,
            temperature=temperature,
            group=self._parallel.tp_group,
        )
