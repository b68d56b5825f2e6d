"""Leave-one-out advantages against published values."""

import pytest
import torch

from rljob_trainer.algorithms.rloo import rloo_advantages


def advantages(rewards: list[float], groups: list[int]) -> list[float]:
    of = torch.tensor(rewards, dtype=torch.float64)
    return rloo_advantages(of, torch.tensor(groups)).tolist()


def test_two_groups_as_nemo_rl_computes_them() -> None:
    assert advantages([6, 3, 9, 12], [0, 0, 1, 1]) == [3, -3, -3, 3]


def test_the_baseline_is_the_mean_of_the_others() -> None:
    """arXiv 2402.14740, equation 7, by hand."""
    assert advantages([1, 2, 6], [7, 7, 7]) == [1 - 4, 2 - 3.5, 6 - 1.5]


@pytest.mark.parametrize("count", [1, 10])
def test_one_reward_gives_exactly_zero(count: int) -> None:
    assert advantages([0.1] * count, [0] * count) == [0] * count


def test_groups_of_different_sizes_in_any_order() -> None:
    assert advantages([0, 10, 1, 11, 12], [4, 9, 4, 9, 9]) == [-1, -1.5, 1, 0, 1.5]


def test_a_member_that_is_left_out_is_in_no_mean() -> None:
    """6 - 3 and 3 - 6, as if the 100 were not there; one that is alone has nothing to compare."""
    rewards, groups = torch.tensor([6.0, 100.0, 3.0, 5.0, 7.0]), torch.tensor([0, 0, 0, 1, 1])
    valid = torch.tensor([True, False, True, True, False])
    assert rloo_advantages(rewards, groups, valid).tolist() == [3, 0, -3, 0, 0]
