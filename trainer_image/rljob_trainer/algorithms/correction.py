"""Which tokens count in the policy loss and how much, because others than the trainer sampled."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rljob.api.algorithm import MismatchSpec
from rljob_trainer.algorithms.icepop import icepop_weights
from rljob_trainer.algorithms.mis import mis_weights
from rljob_trainer.algorithms.sequence_ratio import response_log_ratio
from rljob_trainer.algorithms.tis import tis_weights
from rljob_trainer.algorithms.veto import vetoed


@dataclass(frozen=True)
class Correction:
    """Weights of the policy loss.

    Args:
        weights: without a gradient; 0 for a token that is left out.
        capped: where a bound took the place of the ratio.
        masked: tokens that are left out.
        vetoed: all tokens of samples that are left out of every term of the loss; part of `masked`.
    """

    weights: Float[Tensor, "samples tokens"]
    capped: Bool[Tensor, "samples tokens"]
    masked: Bool[Tensor, "samples tokens"]
    vetoed: Bool[Tensor, "samples tokens"]


def corrects(spec: MismatchSpec) -> bool:
    """Whether the job corrects anything by the ratio of trainer and engine."""
    return spec.correction != "none" or spec.veto is not None


def correction(
    log_ratio: Float[Tensor, "samples tokens"],
    mask: Float[Tensor, "samples tokens"],
    spec: MismatchSpec,
) -> Correction:
    """The job's correction of the mismatch.

    Args:
        log_ratio: the trainer's log-probability before the steps of this batch, minus the engine's
            while it generated.
        mask: above 0 for tokens that are learned.
        spec: `spec.algorithm.mismatch` of the job.
    """
    weighed = response_log_ratio(log_ratio, mask) if spec.level == "sequence" else log_ratio
    none = torch.zeros_like(log_ratio, dtype=torch.bool)
    weights, capped, masked = torch.ones_like(log_ratio), none, none
    match spec.correction:
        case "none":
            pass
        case "tis":
            weights, capped = tis_weights(weighed, cap=spec.cap, floor=spec.floor)
        case "icepop":
            weights, masked = icepop_weights(log_ratio, cap=spec.cap, floor=spec.floor)
        case "mis":
            weights, masked = mis_weights(weighed, cap=spec.cap, floor=spec.floor)
    out = none if spec.veto is None else vetoed(log_ratio, mask, threshold=spec.veto)
    return Correction(weights.where(~out, 0), capped, masked | out, out)
