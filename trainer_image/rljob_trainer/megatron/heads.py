"""What is read from the output of a model: log-probabilities and entropies, or values."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Float32
from megatron.core.tensor_parallel import copy_to_tensor_model_parallel_region
from torch import Tensor

from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.megatron.vocab_parallel import TokenScores, token_scores
from rljob_trainer.trajectories.padded_batch import PaddedBatch

# Reads of a micro-batch's output, at a temperature, what a loss needs of each response token: one
# or several float32 [batch, response], of which the first is what a `Scorer` gives. Padding holds
# anything.
Head = Callable[[PaddedBatch, Tensor, float], tuple[Tensor, ...]]


class LanguageHead:
    """Log-probabilities and entropies.

    The model's output is what its output layer would read, and only the positions that predict a
    response token are multiplied.
    """

    def __init__(
        self,
        parallel: Parallel,
        vocabulary: int,
        weight: Callable[[], Tensor],
        *,
        sequence_parallel: bool,
    ) -> None:
        """
        Args:
            parallel: the layout of the ranks.
            vocabulary: the number of tokens, without padding.
            weight: gives this rank's rows of the output layer; not called but on the last stage.
            sequence_parallel: the model sums the gradients of its output over tensor-parallel
                ranks itself.
        """
        self._parallel = parallel
        self._vocabulary = vocabulary
        self._weight = weight
        self._sequence_parallel = sequence_parallel

    def __call__(
        self, batch: PaddedBatch, output: Float[Tensor, "row position hidden"], temperature: float
    ) -> tuple[Float32[Tensor, "batch response"], Float32[Tensor, "batch response"]]:
        scores = self.scores(batch, output, temperature)
        return _spread(batch, scores.log_probs), _spread(batch, scores.entropies)

    def scores(self, batch: PaddedBatch, output: Tensor, temperature: float) -> TokenScores:
        """The scores of the micro-batch's response tokens, one after the other."""
        weight = self._weight()
        # megatron-core gives the output of a model in half precision as float32.
        hidden = output.flatten(0, 1).index_select(0, _predictors(batch)).to(weight.dtype)
        if not self._sequence_parallel:
            hidden = copy_to_tensor_model_parallel_region(hidden)
        return token_scores(
            hidden,
            weight,
            batch.targets[batch.valid],
            vocabulary=self._vocabulary,
            temperature=temperature,
            group=self._parallel.tp_group,
        )


class AnswerHead:
    """Log-probabilities, and whether each response token was the most likely one."""

    def __init__(self, language: LanguageHead) -> None:
        """Takes the model's own head."""
        self._language = language

    def __call__(
        self, batch: PaddedBatch, output: Float[Tensor, "row position hidden"], temperature: float
    ) -> tuple[Float32[Tensor, "batch response"], Bool[Tensor, "batch response"]]:
        scores = self._language.scores(batch, output, temperature)
        is_right = scores.most_likely == batch.targets[batch.valid]
        return _spread(batch, scores.log_probs), _spread(batch, is_right)


def value_head(
    batch: PaddedBatch, output: Float[Tensor, "row position 1"], temperature: float
) -> tuple[Float32[Tensor, "batch response"]]:
    """The value of the state before each response token: what was read when it was predicted."""
    del temperature  # of sampling; a value has none
    values = output.flatten().index_select(0, _predictors(batch))
    return (_spread(batch, values.float()),)


def _predictors(batch: PaddedBatch) -> Tensor:
    """The places, in the flattened input, that predict the response tokens."""
    rows = torch.arange(len(batch.predictors), device=batch.predictors.device)[:, None]
    return (rows * batch.inputs.shape[1] + batch.predictors)[batch.valid]


def _spread(batch: PaddedBatch, values: Tensor) -> Tensor:
    """Values of the response tokens as [batch, response], with zeros as padding."""
    spread = torch.zeros(batch.valid.shape, dtype=values.dtype, device=values.device)
    return spread.masked_scatter(batch.valid, values)
