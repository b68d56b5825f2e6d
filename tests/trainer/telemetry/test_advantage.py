"""What is told of a batch's advantages."""

import math

import pytest
import torch

from rljob_trainer.telemetry.advantage import advantage_metrics
from rljob_trainer.trajectories.trajectory import Trajectory


def a_trajectory(advantages: list[float], mask: list[float]) -> Trajectory:
    size = len(advantages)
    return Trajectory(
        tokens=torch.arange(1 + size),
        prompt_length=1,
        loss_mask=torch.tensor(mask),
        rollout_log_probs=torch.zeros(size),
        advantages=torch.tensor(advantages),
    )


def test_each_learned_token_counts_the_same() -> None:
    """By hand: 1, 1 and -2, not 99. The mean is 0, the variance (1 + 1 + 4) / 3."""
    found = advantage_metrics(
        [a_trajectory([1.0, 1.0], [1, 1]), a_trajectory([99.0, -2.0], [0, 1])]
    )
    assert found == {
        "advantage/mean": pytest.approx(0.0, abs=1e-7),
        "advantage/std": pytest.approx(math.sqrt(2)),
        "advantage/min": -2,
        "advantage/max": 1,
    }


def test_nothing_learned_is_no_number() -> None:
    assert all(
        math.isnan(value) for value in advantage_metrics([a_trajectory([1.0], [0])]).values()
    )
