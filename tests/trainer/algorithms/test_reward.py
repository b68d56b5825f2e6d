"""Rewards in float32, whose largest number is 3.4028e38 (IEEE 754)."""

import math

import pytest

from rljob_trainer.algorithms.reward import all_alike, as_float32, unfit_reward


@pytest.mark.parametrize(
    ("rewards", "alike"),
    [((0.3, 0.1 + 0.2), True), ((0.1,) * 10, True), ((0.3, 0.3000001), False), ((), True)],
)
def test_alike_is_what_float32_cannot_tell_apart(rewards: tuple[float, ...], alike: bool) -> None:
    assert all_alike(as_float32(rewards)) is alike


@pytest.mark.parametrize("reward", [1e39, -1e39, math.inf, math.nan])
def test_a_reward_that_is_not_finite_is_named(reward: float) -> None:
    said = unfit_reward([0.0, reward])
    assert said is not None
    assert said.startswith(f"reward of sample 1: found {reward}, allowed: a number that is finite")


def test_finite_rewards_are_fit() -> None:
    assert unfit_reward([0.0, -3.4e38, 1e-45]) is None
