"""How far the trainer's probabilities are from the engine's: a wrong mapping shows here first."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rljob.api.algorithm import MismatchSpec
from rljob.buffer.records import Sample
from rljob_trainer.trajectory import Trajectory
from rljob_trainer.weights.probe import ProbeAnswer

# The same weights twice, computed in another order.
_ROUNDING = 1e-6


class DivergedError(RuntimeError):
    """Two things that must agree do not; the message says which, and by how much."""


def mismatch_bound(spec: MismatchSpec, dtype: torch.dtype) -> float | None:
    """The largest mean difference that is rounding, in a number format; None: no check."""
    if spec.max_difference is None or dtype != torch.float32:
        return spec.max_difference
    # 16 bits more of mantissa would allow for far less; a GPU multiplies float32 as TF32, though.
    return spec.max_difference / 100


def mismatch_metrics(
    trajectories: Sequence[Trajectory], samples: Sequence[Sample], version: int | None
) -> dict[str, float]:
    """|log-probability of the trainer - of the engine| over the trained tokens.

    Samples made by the present weights, which must agree, apart from older ones, which need not.

    Args:
        version: as of `check_mismatch`; None: the engines do not hold the trainer's weights.
    """
    fresh, stale = _differences(trajectories, samples, version)
    return {
        "mismatch/logprob_mean": _mean(fresh),
        "mismatch/logprob_max": fresh.max().item() if len(fresh) else math.nan,
        "mismatch/tokens": float(len(fresh)),
        "mismatch/stale_logprob_mean": _mean(stale),
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
    fresh, _ = _differences(trajectories, samples, version)
    if len(fresh):  # beside older samples, a fresh one may be empty
        _check(_mean(fresh), bound, f"under the same weights (version {version})")


def check_probe(
    answers: Sequence[ProbeAnswer],
    expected: Float[Tensor, " length"],
    version: int,
    bound: float | None,
) -> dict[str, float]:
    """Engines must score a fixed sequence as the trainer does with the weights that it published.

    Args:
        answers: of the engines that were asked after the update to `version`; those that hold
            another version by now are left out.
        expected: the trainer's log-probabilities of the sequence.
        version: that was published.
        bound: largest mean difference; None: no check.

    Returns:
        Metrics; the tokens compared are those of all engines.

    Raises:
        DivergedError: an engine's mean difference is above the bound.
    """
    largest, tokens = math.nan, 0
    for answer in answers:
        if answer.version != version:
            continue
        mean = _mean((torch.tensor(answer.log_probs) - expected).abs())
        where = f"over a fixed sequence after the update to version {version} ({answer.engine})"
        _check(mean, bound, where)
        largest = mean if math.isnan(largest) else max(largest, mean)
        tokens += len(answer.log_probs)
    return {"mismatch/probe_mean": largest, "mismatch/probe_tokens": float(tokens)}


def _check(mean: float, bound: float | None, where: str) -> None:
    if bound is None or mean <= bound:  # NaN is no agreement, either
        return
    raise DivergedError(
        "the log-probabilities of the trainer and of the engines differ by "
        f"{mean:.4f} on average {where}; allowed: {bound:g} "
        "(spec.algorithm.mismatch.maxDifference, in float32 a hundredth of it). They do not hold "
        "the same model: the mapping of the weights, the number format or the sampling options "
        "differ"
    )


def _differences(
    trajectories: Sequence[Trajectory], samples: Sequence[Sample], version: int | None
) -> tuple[Float[Tensor, " fresh"], Float[Tensor, " stale"]]:
    """Of the trained tokens: those of samples made entirely by `version`, and the others."""
    fresh, stale = [torch.zeros(0)], [torch.zeros(0)]
    for trajectory, sample in zip(trajectories, samples, strict=True):
        is_fresh = all(span.version == version for span in sample.versions)
        found = fresh if is_fresh else stale
        found.append(_difference(trajectory, trajectory.rollout_log_probs))
    return torch.cat(fresh), torch.cat(stale)


def _mean(differences: Float[Tensor, " tokens"]) -> float:
    """The mean; of nothing it is not a number, which is shown as a gap."""
    return differences.mean().item()


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
