"""Bounds of a step's metrics."""

import math
from typing import Any

import pytest

from rljob.api.algorithm import LimitsSpec
from rljob_trainer.telemetry.limits import check_limits
from rljob_trainer.telemetry.mismatch import DivergedError

REPORT = {
    "train/gradient_norm": 50.0,
    "train/ratio_mean": 1.5,
    "kl/reference_mean": 0.25,
    "train/skipped": 0.0,
}
AT = {"gradientNorm": 50, "ratio": 1.5, "klToReference": 0.25}


def limits(**given: Any) -> LimitsSpec:
    return LimitsSpec.model_validate(given)


def test_none_is_on_by_default() -> None:
    check_limits(LimitsSpec(), dict.fromkeys(REPORT, math.inf) | {"train/skipped": 0.0}, 1)


def test_a_metric_may_reach_its_bound() -> None:
    check_limits(limits(**AT), REPORT, 1)


@pytest.mark.parametrize(
    ("field", "bound", "metric", "found"),
    [
        ("gradientNorm", 49.5, "train/gradient_norm", "50"),
        ("ratio", 1.25, "train/ratio_mean", "1.5"),
        ("klToReference", 0.125, "kl/reference_mean", "0.25"),
    ],
)
def test_beyond_it_the_job_stops(field: str, bound: float, metric: str, found: str) -> None:
    """The message names field, found, allowed, batch and what to do."""
    with pytest.raises(DivergedError) as failure:
        check_limits(limits(**AT | {field: bound}), REPORT, 7)
    said = str(failure.value)
    assert said.startswith(
        f"spec.algorithm.limits.{field}: found {found}, allowed at most {bound}: "
    )
    assert f"batch 7 ({metric})" in said
    assert said.endswith("or a higher limit, may help")


@pytest.mark.parametrize("metric", [name for name in REPORT if name != "train/skipped"])
def test_no_number_is_beyond_any_bound(metric: str) -> None:
    with pytest.raises(DivergedError, match="found nan"):
        check_limits(limits(**AT), REPORT | {metric: math.nan}, 1)


def test_a_step_that_was_skipped_or_not_made_is_not_compared() -> None:
    skipped = {"train/gradient_norm": math.inf, "train/ratio_mean": math.nan, "train/skipped": 1.0}
    check_limits(limits(**AT), skipped, 1)
    check_limits(limits(**AT), {"critic/gradient_norm": 1e9, "critic/skipped": 0.0}, 1)
