"""The advantages of a batch, by the name of the estimator."""

import dataclasses
from typing import get_args

import pytest
import torch

from rljob.api.algorithm import AdvantageName, AlgorithmSpec, BuiltinEstimator, LossName
from rljob.api.estimator import PRESETS
from rljob_trainer.algorithms.advantages import Advantages
from rljob_trainer.trajectories.trajectory import Trajectory

REWARDS = [1.0, 0.0, 3.0, 3.0]
GROUPS = [0, 0, 1, 1]
LENGTHS = [1, 2, 3, 2]


def trajectory(length: int, **fields: torch.Tensor) -> Trajectory:
    return Trajectory(
        tokens=torch.zeros(length + 2, dtype=torch.int64),
        prompt_length=2,
        loss_mask=torch.ones(length),
        rollout_log_probs=torch.zeros(length),
        **fields,
    )


def advantages(
    estimator: str, trajectories: list[Trajectory] | None = None, **spec: object
) -> list[list[float]]:
    made = Advantages(AlgorithmSpec.model_validate({"estimator": estimator, **spec}))
    batch = trajectories or [trajectory(length) for length in LENGTHS]
    found = made(batch, torch.tensor(REWARDS), torch.tensor(GROUPS))
    return [each.advantages.tolist() for each in found if each.advantages is not None]


@pytest.mark.parametrize("estimator", ["grpo", "gspo", "cispo"])
def test_group_relative(estimator: str) -> None:
    half = 0.5 / (0.5**0.5 + 1e-6)
    found = advantages(estimator)
    assert found[0] == pytest.approx([half])
    assert found[1] == pytest.approx([-half] * 2)
    assert found[2:] == [[0] * 3, [0] * 2]
    assert advantages(estimator, normalizeStd=False)[0] == [0.5]


def test_all_trajectories_of_a_sample_have_its_advantage() -> None:
    parts = [
        trajectory(1).replace(sample=0),
        trajectory(2).replace(sample=1),
        trajectory(1).replace(sample=1),
        trajectory(3),
        trajectory(2),
    ]
    assert advantages("rloo", parts) == [[1], [-1] * 2, [-1], [0] * 3, [0] * 2]


def test_what_a_later_trajectory_earns_an_earlier_one_has_led_to() -> None:
    """Values 0, so that the returns are sums of rewards, halved per token: by hand."""
    sample = [
        trajectory(2, values=torch.zeros(2)).replace(sample=0),
        trajectory(1, values=torch.zeros(1)).replace(sample=0),
    ]
    made = Advantages(
        AlgorithmSpec.model_validate({"estimator": "ppo", "discount": 0.5, "gaeLambda": 1.0})
    )
    found = made(sample, torch.tensor([4.0]), torch.tensor([0]))
    assert [one.returns.tolist() for one in found if one.returns is not None] == [[1, 2], [4]]


def test_a_turn_earns_its_part_where_it_ends() -> None:
    """3 in all, 2 of them at the first of three tokens: the last one earns 1."""
    turns = trajectory(3, values=torch.zeros(3), token_rewards=torch.tensor([2.0, 0, 0]))
    made = Advantages(AlgorithmSpec.model_validate({"estimator": "ppo", "gaeLambda": 1.0}))
    (found,) = made([turns], torch.tensor([3.0]), torch.tensor([0]))
    assert found.returns is not None
    assert found.returns.tolist() == [3, 1, 1]


def test_leave_one_out() -> None:
    assert advantages("rloo") == [[1], [-1] * 2, [0] * 3, [0] * 2]


def test_reinforce_plus_plus_is_the_whitened_reward_of_each_token() -> None:
    """1, 0, 0, and five times 3: mean 2, variance 14/7; by hand."""
    scale = 2.0**-0.5
    found = advantages("reinforce++")
    assert found[0] == pytest.approx([-1 * scale])
    assert found[1] == pytest.approx([-2 * scale] * 2)
    assert found[2] == pytest.approx([1 * scale] * 3)


def test_reinforce_plus_plus_baseline_subtracts_the_group_first() -> None:
    """0.5, -0.5, -0.5, and five zeros: mean -1/16, whitened; by hand."""
    values = [0.5, -0.5, -0.5, 0, 0, 0, 0, 0]
    mean = sum(values) / 8
    scale = (sum((value - mean) ** 2 for value in values) / 7) ** -0.5
    found = advantages("reinforce++-baseline")
    assert found[0] == pytest.approx([(0.5 - mean) * scale], rel=1e-5)
    assert found[1] == pytest.approx([(-0.5 - mean) * scale] * 2, rel=1e-5)
    assert found[3] == pytest.approx([-mean * scale] * 2, rel=1e-4)


def test_a_discount_makes_earlier_tokens_of_reinforce_plus_plus_worth_less() -> None:
    """Rewards 1, 0, 3, 3 at the last tokens, halved per token before: by hand."""
    values = [[1.0], [0.0, 0.0], [0.75, 1.5, 3.0], [1.5, 3.0]]
    flat = [value for each in values for value in each]
    mean = sum(flat) / 8
    scale = (sum((value - mean) ** 2 for value in flat) / 7) ** -0.5
    for found, each in zip(advantages("reinforce++", discount=0.5), values, strict=True):
        assert found == pytest.approx([(value - mean) * scale for value in each], rel=1e-5)


def test_ppo_whitens_its_advantages_and_keeps_the_returns() -> None:
    """Values of 1 everywhere: reward - 1 above, and the returns are the rewards themselves."""
    made = Advantages(AlgorithmSpec(estimator="ppo"))
    batch = [trajectory(length, values=torch.ones(length)) for length in LENGTHS]
    found = made(batch, torch.tensor(REWARDS), torch.tensor(GROUPS))
    for one, reward in zip(found, REWARDS, strict=True):
        assert one.returns is not None
        assert one.returns.tolist() == pytest.approx([reward] * one.response_length)
    assert [each.advantages.tolist() for each in found if each.advantages is not None] == [
        pytest.approx(each) for each in advantages("reinforce++")
    ]


@pytest.mark.parametrize(
    ("estimator", "reward_difference"), [("reinforce++", 3.0), ("reinforce++-baseline", 0.5)]
)
def test_the_penalty_is_the_divergence_from_the_reference(
    estimator: str, reward_difference: float
) -> None:
    """The first token of a sample is e^2 times likelier than under the reference: worth less."""
    kl = {"rewardCoefficient": 0.5, "estimator": "k1"}
    reference = [torch.zeros(length) for length in LENGTHS]
    reference[2][0] = -2.0
    batch = [
        trajectory(length, trainer_log_probs=torch.zeros(length), reference_log_probs=one)
        for length, one in zip(LENGTHS, reference, strict=True)
    ]
    found = advantages(estimator, batch, kl=kl)
    first, second, third = found[2]
    assert second == pytest.approx(third)
    # 0.5 x 2, in units of the whitened values: two samples' rewards tell how long one is.
    unit = (found[3][0] - found[1][0]) / reward_difference
    assert second - first == pytest.approx(unit, rel=1e-4)


def test_every_estimator_stands_for_an_advantage_and_a_loss() -> None:
    assert PRESETS.keys() == set(get_args(BuiltinEstimator))
    assert {one.advantage for one in PRESETS.values()} == set(get_args(AdvantageName))
    assert {one.loss for one in PRESETS.values()} == set(get_args(LossName))


def test_a_job_names_the_advantage_apart_from_the_loss() -> None:
    assert advantages("gspo", advantage="rloo") == [[1], [-1] * 2, [0] * 3, [0] * 2]
    assert advantages("rloo", loss="gspo") == advantages("rloo")


@pytest.mark.parametrize(
    ("estimator", "kept"),
    [("grpo", [0.5 / (0.5**0.5 + 1e-6), -0.5 / (0.5**0.5 + 1e-6)]), ("rloo", [1.0, -1.0])],
)
def test_a_truncated_response_does_not_count_in_its_group(
    estimator: str, kept: list[float]
) -> None:
    """ROLL's values for rewards 1 and 0 beside a masked member: as if that were not there."""
    batch = [trajectory(2), trajectory(2), dataclasses.replace(trajectory(2), truncated=True)]
    rewards, groups = torch.tensor([1.0, 0.0, 9.0]), torch.tensor([0, 0, 0])
    spec = AlgorithmSpec.model_validate({"estimator": estimator, "maskTruncated": True})
    found = [one.advantages for one in Advantages(spec)(batch, rewards, groups)]
    assert [one.tolist() for one in found if one is not None] == [
        pytest.approx([value] * 2) for value in (*kept, 0.0)
    ]
