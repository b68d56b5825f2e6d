"""The loss of a micro-batch, from the job's algorithm."""

from functools import partial

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from rljob.api.algorithm import AlgorithmSpec
from rljob.api.estimator import bounds_of, loss_of
from rljob_trainer.algorithms.cispo import cispo_loss
from rljob_trainer.algorithms.correction import correction, corrects
from rljob_trainer.algorithms.drift import drift
from rljob_trainer.algorithms.kl import kl_divergence
from rljob_trainer.algorithms.off_policy_mask import off_policy_mask
from rljob_trainer.algorithms.policy_loss import clipped_policy_loss
from rljob_trainer.algorithms.reduction import reduction, sample_mean
from rljob_trainer.algorithms.sequence_ratio import sequence_log_ratio
from rljob_trainer.trajectories.global_batch import GlobalBatch
from rljob_trainer.trajectories.padded_batch import PaddedBatch


class Objective:
    """Policy loss, divergence from the reference and entropy bonus of a global batch.

    A micro-batch contributes its samples' part of each mean over the global batch, so the parts of
    all micro-batches and data-parallel ranks add up.
    """

    def __init__(self, spec: AlgorithmSpec, *, longest: int) -> None:
        """Reads the settings of the loss.

        Args:
            spec: the algorithm.
            longest: tokens that a response may have at most.

        Raises:
            UsageError: the algorithm asks for an estimator that is not supported.
        """
        self._spec = spec
        self._longest = longest
        self._loss = loss_of(spec)
        self._bounds = bounds_of(spec)

    def __call__(
        self,
        batch: PaddedBatch,
        log_probs: Float32[Tensor, "batch response"],
        entropy: Float32[Tensor, "batch response"],
        *,
        whole: GlobalBatch,
    ) -> tuple[Float32[Tensor, ""], dict[str, Float32[Tensor, ""]]]:
        """The loss, and this micro-batch's part of a step's metrics.

        The terms of the loss are reduced as the job says. Metrics that are no term of it, shares of
        tokens for example, are always means over samples, so that runs can be compared. One whose
        name ends with "_max" is this micro-batch's largest value instead, at least 0.
        """
        spec = self._spec
        reduced, mask = reduction(spec.reduction, whole, longest=self._longest), batch.loss_mask
        tokens = batch.sample_tokens
        mean = partial(sample_mean, mask=mask, sample_tokens=tokens, count=whole.samples)
        # Positions that are not learned (padding, a tool's tokens) must not overflow before they
        # are masked: the gradient of a masked NaN is NaN.
        learned = batch.valid & (batch.loss_mask > 0)
        log_probs = log_probs.where(learned, 0)
        start = log_probs.detach() if batch.old_log_probs is None else batch.old_log_probs
        old = start.where(learned, 0)
        rollout = batch.rollout_log_probs.where(learned, 0)
        log_ratio = self._log_ratio(log_probs - old, batch)
        policy, clipped = self._policy_loss(log_probs, log_ratio, batch)
        report = {
            "train/clip_share": mean(clipped.float()),
            # A ratio of 1 is never clipped, so these two add up to the share above.
            "train/clip_low_share": mean((clipped & (log_ratio < 0)).float()),
            "train/clip_high_share": mean((clipped & (log_ratio > 0)).float()),
            **drift((log_probs - old).detach(), mask, mean),
        }
        vetoed = torch.zeros_like(learned)
        masked = vetoed
        if corrects(spec.mismatch):
            found = correction(old - rollout, mask, spec.mismatch)
            policy, masked, vetoed = policy * found.weights, found.masked, found.vetoed
            report["mismatch/weight_mean"] = mean(found.weights)
            report["mismatch/capped_share"] = mean(found.capped.float())
        if spec.mismatch.sequence_mask is not None:
            assert batch.advantages is not None
            masked = masked | off_policy_mask(
                log_probs, rollout, batch.advantages, mask, threshold=spec.mismatch.sequence_mask
            )
        if corrects(spec.mismatch) or spec.mismatch.sequence_mask is not None:
            report["mismatch/masked_share"] = mean(masked.float())
        # A token that is left out still counts in the divisor: that is known before any ratio is.
        report["loss/policy"] = reduced(policy.where(~masked, 0), mask, tokens)
        counted = learned & ~vetoed
        report["loss/entropy"] = reduced(entropy.where(counted, 0), mask, tokens)
        loss = report["loss/policy"]
        if spec.entropy_coefficient:
            loss = loss - spec.entropy_coefficient * report["loss/entropy"]
        if batch.reference_log_probs is not None:
            from_reference = log_probs - batch.reference_log_probs.where(learned, 0)
            divergence = kl_divergence(
                from_reference,
                spec.kl.estimator,
                clamp=spec.kl.clamp,
                since=log_probs - old if spec.kl.unbiased else None,
            )
            report["loss/kl"] = reduced(divergence.where(counted, 0), mask, tokens)
            report["kl/reference_mean"] = mean(kl_divergence(from_reference.detach(), "k3"))
            if spec.kl.loss_coefficient:
                loss = loss + spec.kl.loss_coefficient * report["loss/kl"]
        return loss, {"loss/total": loss, **report}

    def _log_ratio(
        self, log_ratio: Float32[Tensor, "batch response"], batch: PaddedBatch
    ) -> Float32[Tensor, "batch response"]:
        """The log-ratio that is clipped, from that of each token."""
        return sequence_log_ratio(log_ratio, batch.loss_mask) if self._loss == "gspo" else log_ratio

    def _policy_loss(
        self,
        log_probs: Float32[Tensor, "batch response"],
        log_ratio: Float32[Tensor, "batch response"],
        batch: PaddedBatch,
    ) -> tuple[Float32[Tensor, "batch response"], Bool[Tensor, "batch response"]]:
        """The loss of each token, and whether a bound took the place of its ratio."""
        low, high, advantages = self._bounds.low, self._bounds.high, batch.advantages
        assert advantages is not None
        if self._loss == "cispo":
            return cispo_loss(log_probs, log_ratio, advantages, low=low, high=high)
        dual = self._spec.clip.dual
        return clipped_policy_loss(log_ratio, advantages, low=low, high=high, dual=dual)
