"""The checks that stop a job whose trainer and engine hold different models."""

import math
from dataclasses import replace

import pytest
import torch

from rljob.api.algorithm import MismatchSpec
from rljob_trainer.telemetry.mismatch import (
    DivergedError,
    check_mismatch,
    check_probe,
    check_reference,
    mismatch_bound,
    mismatch_metrics,
)
from rljob_trainer.trajectories.trajectory import Trajectory
from rljob_trainer.weights.probe import ProbeAnswer


def a_trajectory(
    trainer: list[float], engine: list[float], mask: list[float], version: int | None = 3
) -> Trajectory:
    return Trajectory(
        tokens=torch.arange(1 + len(trainer)),
        prompt_length=1,
        loss_mask=torch.tensor(mask),
        rollout_log_probs=torch.tensor(engine),
        trainer_log_probs=torch.tensor(trainer),
        version=version,
    )


def test_differences_are_of_trained_tokens() -> None:
    """|-1 + 1.5| = 0.5 and |-2 + 2.1| = 0.1; the masked token's 9 does not count."""
    trajectory = a_trajectory([-1.0, -2.0, -9.0], [-1.5, -2.1, 0.0], [1, 1, 0])
    metrics = mismatch_metrics([trajectory], 3)
    assert metrics["mismatch/logprob_mean"] == pytest.approx(0.3)
    assert metrics["mismatch/logprob_max"] == pytest.approx(0.5)
    assert metrics["mismatch/tokens"] == 2
    assert math.isnan(metrics["mismatch/stale_logprob_mean"])


def test_older_samples_are_measured_apart() -> None:
    fresh = a_trajectory([-1.0, -2.0], [-1.5, -2.1], [1, 1])
    stale = a_trajectory([-1.0, -2.0], [-3.0, -6.0], [1, 1], 2)
    both = [fresh, stale]
    metrics = mismatch_metrics(both, 3)
    assert metrics["mismatch/logprob_mean"] == pytest.approx(0.3)
    assert metrics["mismatch/stale_logprob_mean"] == pytest.approx(3.0)
    ahead = mismatch_metrics(both, None)  # the trainer has gone on since it published
    assert ahead["mismatch/tokens"] == 0
    assert ahead["mismatch/stale_logprob_mean"] == pytest.approx(1.65)


def test_no_trained_token_is_no_number() -> None:
    metrics = mismatch_metrics([a_trajectory([-1.0], [-9.0], [0])], 3)
    assert math.isnan(metrics["mismatch/logprob_mean"])
    assert metrics["mismatch/tokens"] == 0


def test_an_engine_that_scores_a_fixed_sequence_otherwise_stops_the_job() -> None:
    expected = torch.tensor([-1.0, -2.0])
    same = ProbeAnswer("rollout-0/a", 3, (-1.0, -2.001))
    other = ProbeAnswer("rollout-1/b", 3, (-1.5, -2.5))
    old = ProbeAnswer("rollout-2/c", 2, (-9.0, -9.0))  # it holds another version by now
    found = check_probe([same, old], expected, 3, 0.1)
    assert found["mismatch/probe_mean"] == pytest.approx(0.0005, rel=1e-3)
    assert found["mismatch/probe_tokens"] == 2
    with pytest.raises(DivergedError, match=r"0\.5000 on average over a fixed .*rollout-1/b"):
        check_probe([same, other], expected, 3, 0.1)
    assert check_probe([other], expected, 3, None)["mismatch/probe_mean"] == pytest.approx(0.5)
    assert check_probe([old], expected, 3, 0.1)["mismatch/probe_tokens"] == 0


def test_the_bound_is_that_of_the_number_format() -> None:
    spec = MismatchSpec()
    assert mismatch_bound(spec, torch.bfloat16) == 0.1
    assert mismatch_bound(spec, torch.float32) == pytest.approx(0.001)
    assert mismatch_bound(MismatchSpec(max_difference=None), torch.float32) is None


def test_two_models_stop_the_job() -> None:
    trajectory = a_trajectory([-1.0, -2.0], [-1.5, -2.5], [1, 1])
    check_mismatch([trajectory], version=3, bound=0.6)
    with pytest.raises(DivergedError, match=r"differ by 0\.5000 on average .*version 3.*0\.4"):
        check_mismatch([trajectory], version=3, bound=0.4)


def test_not_a_number_stops_the_job() -> None:
    trajectory = a_trajectory([float("nan"), -2.0], [-1.5, -2.5], [1, 1])
    with pytest.raises(DivergedError):
        check_mismatch([trajectory], version=3, bound=1e9)


def test_older_samples_and_a_missing_bound_are_not_checked() -> None:
    trajectory = a_trajectory([-1.0, -2.0], [-5.0, -5.0], [1, 1])
    check_mismatch([replace(trajectory, version=2)], version=3, bound=0.1)
    check_mismatch([replace(trajectory, version=None)], version=3, bound=0.1)
    check_mismatch([trajectory], version=3, bound=None)


def test_fresh_sample_without_tokens_beside_older_ones_is_not_checked() -> None:
    """The mean over nothing is no number, but no disagreement either."""
    older = a_trajectory([-1.0, -2.0], [-5.0, -5.0], [1, 1], 2)
    check_mismatch([older, a_trajectory([], [], [])], version=3, bound=0.1)


def test_policy_starts_at_the_reference() -> None:
    trajectory = a_trajectory([-1.0, -2.0], [0.0, 0.0], [1, 1])
    reference = torch.tensor([-1.0, -2.0])
    check_reference([trajectory])
    check_reference([replace(trajectory, reference_log_probs=reference + 5e-7)])
    with pytest.raises(DivergedError, match=r"differ from the reference's by 1\.00e-05"):
        check_reference([replace(trajectory, reference_log_probs=reference + 1e-5)])
