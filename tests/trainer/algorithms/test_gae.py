"""Generalized advantages, with values that other projects state."""

from typing import Any

import pytest
import torch

from rljob_trainer.algorithms.gae import gae
from rljob_trainer.algorithms.token_rewards import token_rewards

REWARDS = [1.0, 2.0, 3.0]
VALUES = [0.5, 1.0, 1.5]


def advantages(
    rewards: Any, values: Any, mask: Any = None, *, discount: float = 1.0, decay: float = 1.0
) -> torch.Tensor:
    kept = torch.ones(len(rewards)) if mask is None else torch.tensor(mask)
    found = gae(
        torch.tensor([rewards]), torch.tensor([values]), kept[None], discount=discount, decay=decay
    )
    return found[0]


@pytest.mark.parametrize(
    ("discount", "decay", "returns"),
    [(1.0, 1.0, [6, 5, 3]), (0.5, 1.0, [2.75, 3.5, 3]), (1.0, 0.5, [3.625, 4.25, 3])],
)
def test_returns_as_published(discount: float, decay: float, returns: list[float]) -> None:
    """SkyRL: compute_gae_advantage_return in skyrl-train/tests/cpu/utils/test_ppo_utils.py."""
    found = advantages(REWARDS, VALUES, discount=discount, decay=decay) + torch.tensor(VALUES)
    assert found.tolist() == pytest.approx(returns)


def test_without_values_they_are_discounted_returns() -> None:
    """SkyRL's test of REINFORCE++ with gamma 0.5, in the same file."""
    assert advantages(REWARDS, [0.0] * 3, discount=0.5).tolist() == pytest.approx([2.75, 3.5, 3])


def test_a_decay_of_nothing_leaves_one_step_errors() -> None:
    """r + V(next) - V: 1 + 1 - 0.5, 2 + 1.5 - 1, 3 - 1.5."""
    assert advantages(REWARDS, VALUES, decay=0.0).tolist() == pytest.approx([1.5, 2.5, 1.5])


@pytest.mark.parametrize("of_tool", [0.0, 100.0, float("nan")])
def test_what_a_tool_writes_is_passed_over(of_tool: float) -> None:
    """verl: test_multi_turn_compute_gae_advantage_return in test_core_algos_on_cpu.py."""
    rewards, values = [1.0, of_tool, of_tool, 2.0, 3.0, 9.0], [0.5, of_tool, 7.0, 1.0, 1.5, 9.0]
    mask = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0]
    found = advantages(rewards, values, mask, discount=0.9, decay=0.8)
    alone = advantages(REWARDS, VALUES, discount=0.9, decay=0.8)
    assert found[torch.tensor(mask) > 0].tolist() == pytest.approx(alone.tolist())
    assert found[torch.tensor(mask) == 0].tolist() == [0, 0, 0]


def test_samples_of_a_batch_do_not_touch_each_other() -> None:
    torch.manual_seed(0)
    rewards, values = torch.randn(3, 6), torch.randn(3, 6)
    mask = torch.tensor([[1.0] * 6, [1.0] * 2 + [0.0] * 4, [0.0] * 6])
    together = gae(rewards, values, mask, discount=0.9, decay=0.7)
    for n, length in enumerate((6, 2)):
        one = gae(
            rewards[n : n + 1, :length],
            values[n : n + 1, :length],
            mask[n : n + 1, :length],
            discount=0.9,
            decay=0.7,
        )
        torch.testing.assert_close(together[n : n + 1, :length], one)
    assert together[2].tolist() == [0] * 6


def test_the_reward_is_earned_by_the_last_token_that_is_learned() -> None:
    penalties = torch.tensor([[0.1, 0.2, float("nan"), 0.4, 0.0]])
    mask = torch.tensor([[1.0, 1.0, 0.0, 1.0, 0.0]])
    found = token_rewards(torch.tensor([2.0]), torch.zeros_like(mask), penalties, mask)
    assert found[0].tolist() == pytest.approx([-0.1, -0.2, 0, 1.6, 0])


def test_a_sample_without_a_learned_token_earns_nothing() -> None:
    found = token_rewards(torch.tensor([2.0]), *[torch.zeros(1, 3)] * 3)
    assert found.tolist() == [[0, 0, 0]]
