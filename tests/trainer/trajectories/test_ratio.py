"""What the importance ratio starts from, and what computes it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from rljob_trainer.trajectories.ratio import is_scored_in_step, with_start
from rljob_trainer.trajectories.trajectory import Trajectory
from tests.trainer.megatron.cases import make_job

TWO_STEPS = {"rollouts": 1, "rolloutBatchSize": 2, "globalBatchSize": 8, "stepsPerRollout": 2}


def spec(**fields: Any) -> Any:
    return make_job(Path("model"), **fields).spec


@pytest.mark.parametrize(
    ("fields", "in_step"),
    [
        ({}, True),
        ({"algorithm": {"mismatch": {"old": "rollout"}}}, True),
        ({"schedule": TWO_STEPS}, False),
        ({"trainer": {"megatron": {"hidden_dropout": 0.1}}}, False),
        ({"trainer": {"megatron": {"attention_dropout": 0.1}}}, False),
        ({"trainer": {"megatron": {"attention_dropout": 0.0}}}, True),
    ],
)
def test_one_step_without_dropout_scores_what_it_trains_on(
    fields: dict[str, Any], in_step: bool
) -> None:
    assert is_scored_in_step(spec(**fields)) is in_step


def test_it_starts_from_the_trainer_or_from_the_engine() -> None:
    """As slime's use_rollout_logprobs chooses."""
    trajectory = Trajectory(
        tokens=torch.arange(3),
        prompt_length=1,
        loss_mask=torch.ones(2),
        rollout_log_probs=torch.tensor([-1.0, -2.0]),
        trainer_log_probs=torch.tensor([-1.5, -2.5]),
    )
    of_trainer = with_start(trajectory, spec()).old_log_probs
    of_engine = with_start(trajectory, spec(algorithm={"mismatch": {"old": "rollout"}}))
    assert of_trainer is trajectory.trainer_log_probs
    assert of_engine.old_log_probs is trajectory.rollout_log_probs
