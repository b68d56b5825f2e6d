"""Bounds of a step's metrics, `spec.algorithm.limits`: beyond one the job stops."""

from collections.abc import Mapping
from dataclasses import dataclass

from rljob.api.algorithm import LimitsSpec
from rljob_trainer.telemetry.mismatch import DivergedError


@dataclass(frozen=True)
class _Limit:
    field: str  # below spec.algorithm.limits
    metric: str
    meaning: str
    remedy: str


_LIMITS = {
    "gradient_norm": _Limit(
        "gradientNorm",
        "train/gradient_norm",
        "the norm of the policy's gradient",
        "A smaller lr or clip_grad in spec.trainer.optimizer",
    ),
    # TRL's PPOTrainer leaves out a mini-batch by the mean, not by the largest ratio
    # (`ratio_threshold`, 10): of many tokens, one with a large ratio is no rarity.
    "ratio": _Limit(
        "ratio",
        "train/ratio_mean",
        "the mean importance ratio",
        "A smaller lr in spec.trainer.optimizer, a smaller spec.schedule.stepsPerRollout or "
        "spec.schedule.maxStaleness",
    ),
    "kl_to_reference": _Limit(
        "klToReference",
        "kl/reference_mean",
        "the mean KL divergence from the reference",
        "A larger spec.algorithm.kl.lossCoefficient, or a smaller lr in spec.trainer.optimizer",
    ),
}


def check_limits(spec: LimitsSpec, report: Mapping[str, float], rollout: int) -> None:
    """Checks the report of a step, which all ranks have alike.

    A step that was skipped for its gradient changed nothing, and is left to `SkippedSteps`. So is a
    step that was not made, as only the critic learned.

    Args:
        spec: the bounds.
        report: as `Trainer.step` gives it.
        rollout: number of the batch, from 1.

    Raises:
        DivergedError: a metric is above its bound, or no number.
    """
    if report.get("train/skipped", 0) > 0:
        return
    for name, limit in _LIMITS.items():
        bound, found = getattr(spec, name), report.get(limit.metric)
        if bound is None or found is None or found <= bound:  # false for NaN, which fails the check
            continue
        raise DivergedError(
            f"spec.algorithm.limits.{limit.field}: found {found:.4g}, allowed at most {bound:g}: "
            f"{limit.meaning} in a step of batch {rollout} ({limit.metric}). Weights from this "
            f"batch on are not saved; the run can be resumed from its last checkpoint. "
            f"{limit.remedy}, or a higher limit, may help"
        )
