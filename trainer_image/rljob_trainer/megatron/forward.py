"""Forward and backward passes over micro-batches, by megatron-core's schedule."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float32
from megatron.core.pipeline_parallel import get_forward_backward_func
from torch import Tensor

from rljob_trainer.megatron.heads import Head
from rljob_trainer.trajectories.padded_batch import PaddedBatch

# Takes a micro-batch and what the head has read of it; returns the loss and metrics.
Loss = Callable[..., tuple[Tensor, dict[str, Tensor]]]


class Forward:
    """Runs micro-batches through a model."""

    def __init__(self, chunks: Iterable[Any], head: Head, *, temperature: float) -> None:
        """
        Args:
            chunks: the parts of the model on this rank.
            head: reads what is wanted of the output of the last one.
            temperature: that of sampling.
        """
        self._chunks = list(chunks)
        self._head = head
        self._temperature = temperature
        self._schedule = get_forward_backward_func()

    @torch.no_grad()
    def score(
        self, batches: Sequence[PaddedBatch], *, temperature: float | None = None
    ) -> list[Float32[Tensor, " tokens"]]:
        """What the head reads first of the response tokens of each micro-batch, without padding.

        Only on the last pipeline stage; the others get nothing. Uses the temperature of sampling,
        unless another is given.
        """
        for chunk in self._chunks:
            chunk.eval()

        def collect(batch: PaddedBatch, output: Tensor, *, non_loss_data: bool) -> Tensor:
            first, *_ = self._head(batch, output, temperature or self._temperature)
            return first[batch.valid]

        return self._run(batches, collect, forward_only=True)

    def backward(self, batches: Sequence[PaddedBatch], loss: Loss) -> list[dict[str, Tensor]]:
        """Adds the gradients of the summed losses; returns the metrics of each micro-batch.

        Only the last pipeline stage has metrics.
        """
        for chunk in self._chunks:
            chunk.train()
        # megatron-core would divide gradients by this token count; 0 leaves them as they are.
        no_count = torch.zeros((), dtype=torch.int, device=batches[0].inputs.device)

        def score(batch: PaddedBatch, output: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
            value, report = loss(batch, *self._head(batch, output, self._temperature))
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
            data_iterator=[iter(batches) for _ in self._chunks],
            model=self._chunks,
            num_microbatches=len(batches),
            seq_length=max(batch.inputs.shape[1] for batch in batches),
            micro_batch_size=max(batch.inputs.shape[0] for batch in batches),
            forward_only=forward_only,
            collect_non_loss_data=forward_only,
        )
        return results
