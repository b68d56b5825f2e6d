"""The loss of a micro-batch, from the job's algorithm."""

from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from rljob.api.algorithm import AlgorithmSpec
from rljob_trainer.megatron.padded_batch import PaddedBatch

# What a step reports, in the order of the tensor that `Objective` gives.
REPORTED = (
    "loss/total",
    "loss/policy",
    "loss/kl",
    "loss/entropy",
    "train/clip_share",
    "kl/reference_mean",
)


@dataclass(frozen=True)
class Objective:
    """Policy loss, KL to the reference and entropy bonus.

    Everything is a mean over a sample's tokens, then over the samples of the global batch: a
    micro-batch gives its samples' part of it, so that parts of all micro-batches and data-parallel
    ranks are summed.
    """

    spec: AlgorithmSpec
    global_batch_size: int

    def __call__(
        self,
        batch: PaddedBatch,
        log_probs: Float32[Tensor, "batch response"],
        entropy: Float32[Tensor, "batch response"],
    ) -> tuple[Float32[Tensor, ""], Float32[Tensor, " reported"]]:
        """The loss and the numbers of `REPORTED`."""
        assert batch.old_log_probs is not None
        assert batch.advantages is not None
        clip = self.spec.clip
        ratio = (log_probs - batch.old_log_probs).exp()
        adv = batch.advantages
        unclipped = -ratio * adv
        clipped_loss = -ratio.clamp(1 - clip.low, 1 + clip.high) * adv
        per_token = torch.maximum(unclipped, clipped_loss)
        clipped = (clipped_loss > unclipped).float()
        policy = self._mean(batch, per_token)
        kl = torch.zeros_like(policy)
        if batch.reference_log_probs is not None:
            d = batch.reference_log_probs - log_probs
            kl = self._mean(batch, d.exp() - d - 1)
        mean_entropy = self._mean(batch, entropy)
        total = policy
        if self.spec.kl.loss_coefficient:
            total = total + self.spec.kl.loss_coefficient * kl
        if self.spec.entropy_coefficient:
            total = total - self.spec.entropy_coefficient * mean_entropy
        report = [total, policy, kl, mean_entropy, self._mean(batch, clipped), kl]
        return total, torch.stack(report)

    def _mean(
        self, batch: PaddedBatch, values: Float32[Tensor, "batch response"]
    ) -> Float32[Tensor, ""]:
        per_sample = (values * batch.loss_mask).sum(-1) / batch.loss_mask.sum(-1).clamp(min=1)
        return per_sample.sum() / self.global_batch_size
