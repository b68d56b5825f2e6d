"""What is read from the output of a model: log-probabilities and entropies, or values."""

from collections.abc import Callable

from jaxtyping import Bool, Float, Float32
from torch import Tensor

from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.megatron.vocab_parallel import log_probs_and_entropy, most_likely
from rljob_trainer.trajectories.padded_batch import PaddedBatch

# Reads of a micro-batch's output, at a temperature, what a loss needs of each response token: one
# or several float32 [batch, response], of which the first is what a `Scorer` gives. Padding holds
# anything.
Head = Callable[[PaddedBatch, Tensor, float], tuple[Tensor, ...]]


class LanguageHead:
    """Log-probabilities and entropies; only response tokens' logits are looked at."""

    def __init__(self, parallel: Parallel, vocabulary: int) -> None:
        """`vocabulary` is the number of tokens, without padding."""
        self._parallel = parallel
        self._vocabulary = vocabulary

    def __call__(
        self, batch: PaddedBatch, output: Float[Tensor, "batch position part"], temperature: float
    ) -> tuple[Float32[Tensor, "batch response"], Float32[Tensor, "batch response"]]:
        at = batch.predictors[..., None].expand(-1, -1, output.shape[-1])
        return log_probs_and_entropy(
            output.gather(1, at),
            batch.targets,
            vocabulary=self._vocabulary,
            temperature=temperature,
            group=self._parallel.tp_group,
        )


class AnswerHead:
    """Log-probabilities, and whether each response token was the most likely one."""

    def __init__(self, parallel: Parallel, vocabulary: int) -> None:
        """`vocabulary` is as for `LanguageHead`."""
        self._parallel = parallel
        self._vocabulary = vocabulary
        self._language = LanguageHead(parallel, vocabulary)

    def __call__(
        self, batch: PaddedBatch, output: Float[Tensor, "batch position part"], temperature: float
    ) -> tuple[Float32[Tensor, "batch response"], Bool[Tensor, "batch response"]]:
        log_probs, _ = self._language(batch, output, temperature)
        at = batch.predictors[..., None].expand(-1, -1, output.shape[-1])
        likely = most_likely(
            output.detach().gather(1, at),
            vocabulary=self._vocabulary,
            group=self._parallel.tp_group,
        )
        return log_probs, likely == batch.targets


def value_head(
    batch: PaddedBatch, output: Float[Tensor, "batch position 1"], temperature: float
) -> tuple[Float32[Tensor, "batch response"]]:
    """The value of the state before each response token: what was read when it was predicted."""
    del temperature  # of sampling; a value has none
    return (output[..., 0].gather(1, batch.predictors).float(),)
