"""How far the trainer's probabilities are from the engine's: a wrong mapping shows here first."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rljob.buffer.records import Sample
from rljob_trainer.trajectory import Trajectory

# The same weights twice, computed in another order.
_ROUNDING = 1e-6


class DivergedError(RuntimeError):
    """Two things that must agree do not; the message says which, and by how much."""


def mismatch_metrics(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """|log-probability of the trainer - of the engine| over the trained tokens."""
    difference = torch.cat([_difference(t, t.rollout_log_probs) for t in trajectories])
    if not len(difference):
        return {"mismatch/logprob_mean": 0.0, "mismatch/logprob_max": 0.0}
    return {
        "mismatch/logprob_mean": difference.mean().item(),
        "mismatch/logprob_max": difference.max().item(),
    }


def check_mismatch(
    trajectories: Sequence[Trajectory], samples: Sequence[Sample], version: int, bound: float | None
) -> None:
    """Trainer and engine must hold the same model.

    Only samples made entirely by the present weights are compared: older ones differ rightly, among
    them all that were trained on before, for their version was published before that.

    Args:
        version: the weight version that the trainer's log-probabilities are of.
        bound: largest mean difference; None: no check.

    Raises:
        DivergedError: the mean difference is above the bound.
    """
    fresh = [
        _difference(trajectory, trajectory.rollout_log_probs)
        for trajectory, sample in zip(trajectories, samples, strict=True)
        if all(span.version == version for span in sample.versions)
    ]
    compared = torch.cat(fresh) if fresh else torch.zeros(0)
    if bound is None or not len(compared):  # beside older samples, a fresh one may be empty
        return
    mean = compared.mean().item()
    if not mean <= bound:  # NaN is no agreement, either
        raise DivergedError(
            "the log-probabilities of the trainer and of the engines differ by "
            f"{mean:.4f} on average under the same weights (version {version}); allowed: {bound} "
            "(spec.algorithm.mismatch.maxDifference). They do not hold the same model: the "
            "mapping of the weights, the number format or the sampling options differ"
        )


def check_reference(trajectories: Sequence[Trajectory]) -> None:
    """Before the first step policy and reference are the same weights: so are their numbers.

    Raises:
        DivergedError: the mean difference of their log-probabilities is above rounding.
    """
    differences = [
        _difference(t, t.reference_log_probs)
        for t in trajectories
        if t.reference_log_probs is not None
    ]
    if not differences:
        return
    mean = torch.cat(differences).mean().item()
    if not mean <= _ROUNDING:
        raise DivergedError(
            "before the first step the policy's log-probabilities differ from the reference's by "
            f"{mean:.2e} on average; allowed: {_ROUNDING:.0e}"
        )


def _difference(
    trajectory: Trajectory, other: Float[Tensor, "response"]
) -> Float[Tensor, "trained"]:
    assert trajectory.trainer_log_probs is not None
    return (trajectory.trainer_log_probs - other).abs()[trajectory.loss_mask > 0]
