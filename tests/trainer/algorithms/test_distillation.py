"""Distillation: the divergence from the teacher at each token, by hand."""

import math

import pytest
import torch

from rljob.api.algorithm import AlgorithmSpec
from rljob_trainer.algorithms.advantages import Advantages
from rljob_trainer.algorithms.distillation import mean_teacher_kl, teacher_kl
from rljob_trainer.trajectories.trajectory import Trajectory

NAN = float("nan")


def trajectory(ours: list[float], teacher: list[float], mask: list[float]) -> Trajectory:
    return Trajectory(
        tokens=torch.zeros(len(ours) + 1, dtype=torch.int64),
        prompt_length=1,
        loss_mask=torch.tensor(mask).float(),
        rollout_log_probs=torch.zeros(len(ours)),
        trainer_log_probs=torch.tensor(ours),
        teacher_log_probs=torch.tensor(teacher),
    )


BATCH = [
    trajectory([-1.0, -2.0, NAN], [-1.5, -0.5, NAN], [1, 1, 0]),
    trajectory([-3.0], [-3.0], [1]),
]


def test_a_token_that_the_teacher_finds_likelier_gains() -> None:
    """slime, docs/en/advanced/on-policy-distillation.md: advantage - coefficient x divergence."""
    spec = AlgorithmSpec.model_validate(
        {"estimator": "rloo", "distillation": {"teacher": "t", "coefficient": 2.0}}
    )
    found = Advantages(spec)(BATCH, torch.tensor([1.0, 0.0]), torch.tensor([0, 0]))
    first, second = (one.advantages for one in found)
    assert first is not None and second is not None
    assert first.tolist() == pytest.approx([1 - 2 * 0.5, 1 + 2 * 1.5, 1])
    assert second.tolist() == [-1]


def test_whitening_comes_before_it() -> None:
    """Rewards 5, 5 and 2 of the tokens: mean 4, variance 3. The teacher's nats are not scaled."""
    spec = AlgorithmSpec.model_validate(
        {"estimator": "reinforce++", "distillation": {"teacher": "t"}}
    )
    made = Advantages(spec)
    found = made(BATCH, torch.tensor([5.0, 2.0]), torch.tensor([0, 0]))
    without = Advantages(AlgorithmSpec(estimator="reinforce++"))(
        BATCH, torch.tensor([5.0, 2.0]), torch.tensor([0, 0])
    )
    one, other = found[0].advantages, without[0].advantages
    assert one is not None and other is not None
    assert (other - one).tolist() == pytest.approx([0.5, -1.5, 0])
    assert other[0].item() == pytest.approx(1 / math.sqrt(3), rel=1e-5)


def test_the_mean_is_over_learned_tokens() -> None:
    assert teacher_kl(BATCH[0]).tolist() == [0.5, -1.5, 0]
    assert mean_teacher_kl(BATCH) == pytest.approx(-1 / 3)
