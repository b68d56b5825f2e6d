"""The checks that stop a job whose two models are not the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rljob.buffer.records import Sample, VersionSpan
from rljob_trainer.mismatch import (
    DivergedError,
    check_mismatch,
    check_reference,
    mismatch_metrics,
)
from rljob_trainer.trajectory import Trajectory
from tests.trainer.records import a_completion


def a_trajectory(trainer: list[float], engine: list[float], mask: list[float]) -> Trajectory:
    return Trajectory(
        tokens=torch.arange(1 + len(trainer)),
        prompt_length=1,
        loss_mask=torch.tensor(mask),
        rollout_log_probs=torch.tensor(engine),
        trainer_log_probs=torch.tensor(trainer),
    )


def a_sample(version: int) -> Sample:
    return replace(a_completion(1, 0).samples[0], versions=(VersionSpan(version, 0, 2),))


def test_differences_are_of_trained_tokens() -> None:
    """|-1 + 1.5| = 0.5 and |-2 + 2.1| = 0.1; the masked token's 9 does not count."""
    trajectory = a_trajectory([-1.0, -2.0, -9.0], [-1.5, -2.1, 0.0], [1, 1, 0])
    metrics = mismatch_metrics([trajectory])
    assert metrics["mismatch/logprob_mean"] == pytest.approx(0.3)
    assert metrics["mismatch/logprob_max"] == pytest.approx(0.5)


def test_no_trained_token_is_no_difference() -> None:
    assert mismatch_metrics([a_trajectory([-1.0], [-9.0], [0])])["mismatch/logprob_mean"] == 0


def test_two_models_stop_the_job() -> None:
    trajectory = a_trajectory([-1.0, -2.0], [-1.5, -2.5], [1, 1])
    check_mismatch([trajectory], [a_sample(3)], version=3, bound=0.6)
    with pytest.raises(DivergedError, match=r"differ by 0\.5000 on average .*version 3.*0\.4"):
        check_mismatch([trajectory], [a_sample(3)], version=3, bound=0.4)


def test_not_a_number_stops_the_job() -> None:
    trajectory = a_trajectory([float("nan"), -2.0], [-1.5, -2.5], [1, 1])
    with pytest.raises(DivergedError):
        check_mismatch([trajectory], [a_sample(3)], version=3, bound=1e9)


def test_older_samples_and_a_missing_bound_are_not_checked() -> None:
    trajectory = a_trajectory([-1.0, -2.0], [-5.0, -5.0], [1, 1])
    check_mismatch([trajectory], [a_sample(2)], version=3, bound=0.1)
    check_mismatch([trajectory], [a_sample(3)], version=3, bound=None)


def test_fresh_sample_without_tokens_beside_older_ones_is_not_checked() -> None:
    """The mean over nothing is no number, but no disagreement either."""
    older, empty = a_trajectory([-1.0, -2.0], [-5.0, -5.0], [1, 1]), a_trajectory([], [], [])
    fresh = replace(
        a_sample(3),
        response_tokens=np.zeros(0, np.int32),
        logprobs=np.zeros(0, np.float32),
        loss_mask=np.zeros(0, np.uint8),
        versions=(),
    )
    check_mismatch([older, empty], [a_sample(2), fresh], version=3, bound=0.1)


def test_policy_starts_at_the_reference() -> None:
    trajectory = a_trajectory([-1.0, -2.0], [0.0, 0.0], [1, 1])
    reference = torch.tensor([-1.0, -2.0])
    check_reference([trajectory])
    check_reference([replace(trajectory, reference_log_probs=reference + 5e-7)])
    with pytest.raises(DivergedError, match=r"differ from the reference's by 1\.00e-05"):
        check_reference([replace(trajectory, reference_log_probs=reference + 1e-5)])
