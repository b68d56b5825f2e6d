"""Steps without a finite gradient: each is reported, and too many in a row end the job."""

import math

import pytest
from structlog.testing import capture_logs

from rljob_trainer.telemetry.mismatch import DivergedError
from rljob_trainer.telemetry.skipped import SkippedSteps


def report(*, skipped: bool) -> dict[str, float]:
    norm = math.nan if skipped else 1.0
    return {"train/skipped": float(skipped), "train/gradient_norm": norm, "loss/total": 0.5}


def test_each_is_a_warning() -> None:
    steps = SkippedSteps(is_first_rank=True)
    with capture_logs() as events:
        steps.check(report(skipped=True), 3)
        steps.check(report(skipped=False), 4)
        steps.check(report(skipped=True), 5)
    assert [(event["event"], event["log_level"]) for event in events] == [
        ("step.skipped", "warning")
    ] * 2
    assert [(event["rollout"], event["in_a_row"]) for event in events] == [(3, 1), (5, 1)]


def test_the_fifth_in_a_row_ends_the_job() -> None:
    steps = SkippedSteps(is_first_rank=False)
    with capture_logs() as events:
        for rollout in range(1, 5):
            steps.check(report(skipped=True), rollout)
        with pytest.raises(DivergedError, match=r"5 optimizer steps in a row .* of batch 5"):
            steps.check(report(skipped=True), 5)
    assert events == []
