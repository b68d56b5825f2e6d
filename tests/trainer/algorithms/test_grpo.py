"""Advantages against published values, and what must not change them."""

import pytest
import torch
from torch import Tensor

from rljob_trainer.algorithms.grpo import grpo_advantages


def advantages(
    rewards: list[float],
    groups: list[int],
    *,
    normalize_std: bool = True,
    valid: list[bool] | None = None,
) -> list[float]:
    return grpo_advantages(
        torch.tensor(rewards, dtype=torch.float64),
        torch.tensor(groups),
        normalize_std=normalize_std,
        valid=None if valid is None else torch.tensor(valid),
    ).tolist()


def test_a_group_as_slime_computes_it() -> None:
    assert advantages([1, 0, 0, 1], [0, 0, 0, 0]) == pytest.approx(
        [0.866024, -0.866024, -0.866024, 0.866024], abs=1e-6
    )


def test_two_groups_as_nemo_rl_computes_them() -> None:
    found = advantages([2, 2, 1, 3], [0, 0, 1, 1])
    assert found == pytest.approx([0, 0, -0.7071, 0.7071], abs=1e-4)


def test_without_the_deviation_as_nemo_rl_computes_it() -> None:
    found = advantages([6, 3, 9, 12], [0, 0, 1, 1], normalize_std=False)
    assert found == [1.5, -1.5, -1.5, 1.5]


def test_a_masked_member_as_roll_computes_it() -> None:
    found = advantages([1, 3, 0], [0, 0, 0], valid=[True, True, False])
    assert found == pytest.approx([-0.7071, 0.7071, 0], abs=1e-4)


def test_a_masked_member_may_hold_anything() -> None:
    found = advantages([1, 3, float("nan")], [0, 0, 0], valid=[True, True, False])
    assert found == pytest.approx([-0.7071, 0.7071, 0], abs=1e-4)


def test_a_single_valid_member_has_no_baseline() -> None:
    assert advantages([7, 3, 5], [0, 0, 1], valid=[True, False, True]) == [0, 0, 0]


@pytest.mark.parametrize("normalize_std", [True, False])
def test_equal_rewards_give_exactly_zero(normalize_std: bool) -> None:
    # The mean of ten times 0.1 is not 0.1 in floating point.
    assert advantages([0.1] * 10, [0] * 10, normalize_std=normalize_std) == [0] * 10


def test_groups_of_different_sizes_are_kept_apart() -> None:
    """A batch that is no multiple of the group size must not become one group."""
    found = advantages([0, 1, 10, 11, 12], [4, 4, 9, 9, 9], normalize_std=False)
    assert found == [-0.5, 0.5, -1, 0, 1]


def test_the_order_of_samples_does_not_matter() -> None:
    rewards = torch.rand(24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    groups = torch.arange(24) % 5
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    straight = grpo_advantages(rewards, groups, normalize_std=True)
    shuffled = grpo_advantages(rewards[order], groups[order], normalize_std=True)
    torch.testing.assert_close(shuffled, straight[order])


def test_no_samples_no_advantages() -> None:
    empty: Tensor = torch.zeros(0)
    assert grpo_advantages(empty, torch.zeros(0, dtype=torch.int64), normalize_std=True).shape == (
        0,
    )
