"""The loss of a micro-batch of answers from the data: supervised fine-tuning."""

from jaxtyping import Bool, Float32
from torch import Tensor

from rljob.api.algorithm import AlgorithmSpec
from rljob_trainer.algorithms.reduction import reduction, token_mean
from rljob_trainer.trajectories.global_batch import GlobalBatch
from rljob_trainer.trajectories.padded_batch import PaddedBatch


class SupervisedObjective:
    """The negative log-likelihood of a global batch's answers, in nats.

    As for `Objective`, the parts of all micro-batches and data-parallel ranks add up.
    """

    def __init__(self, spec: AlgorithmSpec, *, longest: int) -> None:
        """Reads the reduction; `longest` is as for `Objective`."""
        self._reduction = spec.reduction
        self._longest = longest

    def __call__(
        self,
        batch: PaddedBatch,
        log_probs: Float32[Tensor, "batch response"],
        right: Bool[Tensor, "batch response"],
        *,
        whole: GlobalBatch,
    ) -> tuple[Float32[Tensor, ""], dict[str, Float32[Tensor, ""]]]:
        """The loss, and this micro-batch's part of a step's metrics.

        `right` tells of each token whether it was the most likely one. Each token counts the same
        in the accuracy, whatever the reduction of the loss.
        """
        reduced = reduction(self._reduction, whole, longest=self._longest)
        # As for the policy: what is not learned must not overflow before it is masked.
        learned = batch.valid & (batch.loss_mask > 0)
        loss = reduced(-log_probs.where(learned, 0), batch.loss_mask)
        accuracy = token_mean(right.float(), batch.loss_mask, count=whole.tokens)
        return loss, {"loss/total": loss, "train/token_accuracy": accuracy}
