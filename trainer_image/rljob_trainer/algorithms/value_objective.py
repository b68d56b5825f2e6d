"""The loss of a micro-batch for a critic."""

from functools import partial

from jaxtyping import Float32
from torch import Tensor

from rljob.api.algorithm import AlgorithmSpec, CriticSpec
from rljob_trainer.algorithms.reduction import reduction, sample_mean
from rljob_trainer.algorithms.value_loss import clipped_value_loss
from rljob_trainer.trajectories.global_batch import GlobalBatch
from rljob_trainer.trajectories.padded_batch import PaddedBatch


class ValueObjective:
    """How far the values of a global batch are from its returns.

    As for `Objective`, the parts of all micro-batches and data-parallel ranks add up.
    """

    def __init__(self, spec: AlgorithmSpec, *, longest: int) -> None:
        """Reads the settings of the critic; `longest` is as for `Objective`."""
        self._clip = (spec.critic or CriticSpec()).value_clip
        self._reduction = spec.reduction
        self._longest = longest

    def __call__(
        self,
        batch: PaddedBatch,
        values: Float32[Tensor, "batch response"],
        *,
        whole: GlobalBatch,
    ) -> tuple[Float32[Tensor, ""], dict[str, Float32[Tensor, ""]]]:
        """The loss, and this micro-batch's part of a step's metrics."""
        assert batch.values is not None and batch.returns is not None
        mask, tokens = batch.loss_mask, batch.sample_tokens
        mean = partial(sample_mean, mask=mask, sample_tokens=tokens, count=whole.samples)
        reduced = reduction(self._reduction, whole, longest=self._longest)
        # As for the policy: what is not learned must not overflow before it is masked.
        learned = batch.valid & (mask > 0)
        loss, clipped = clipped_value_loss(
            values.where(learned, 0),
            batch.values.where(learned, 0),
            batch.returns.where(learned, 0),
            clip=self._clip,
        )
        report = {
            "critic/loss": reduced(loss, mask, tokens),
            "critic/value_mean": mean(values.detach().where(learned, 0)),
            "critic/clip_share": mean(clipped.float()),
        }
        return report["critic/loss"], report
