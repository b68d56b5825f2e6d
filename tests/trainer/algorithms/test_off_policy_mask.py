"""The off-policy sequence mask against TRL's values."""

import torch

from rljob_trainer.algorithms.off_policy_mask import off_policy_mask


def test_as_trl_computes_it() -> None:
    """TRL's test_get_off_policy_mask: A = [1, -1, -1], KL = [2, 0.5, 2], threshold 1."""
    now = torch.tensor([[-2.0] * 4, [-0.5] * 4, [-2.0] * 4])
    advantages = torch.tensor([[1.0] * 4, [-1.0] * 4, [-1.0] * 4])
    out = off_policy_mask(now, torch.zeros(3, 4), advantages, torch.ones(3, 4), threshold=1)
    assert (~out).tolist() == [[True] * 4, [True] * 4, [False] * 4]


def test_the_mean_is_over_learned_tokens() -> None:
    """By hand: (2 + 2) / 2 with two of four tokens, where all four would have mean 1."""
    now = torch.tensor([[-2.0, -2.0, 0.0, float("nan")]])
    mask = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    out = off_policy_mask(now, torch.zeros(1, 4), -torch.ones(1, 4), mask, threshold=1.5)
    assert out.all()


def test_a_threshold_that_is_reached_keeps_the_sample() -> None:
    now = torch.full((1, 2), -1.0)
    out = off_policy_mask(now, torch.zeros(1, 2), -torch.ones(1, 2), torch.ones(1, 2), threshold=1)
    assert not out.any()


def test_a_policy_that_gives_it_more_often_than_before_keeps_it() -> None:
    now = torch.full((1, 2), -0.1)
    engine = torch.full((1, 2), -9.0)
    out = off_policy_mask(now, engine, -torch.ones(1, 2), torch.ones(1, 2), threshold=0.1)
    assert not out.any()


def test_a_sample_without_a_learned_token_is_no_error() -> None:
    zeros = torch.zeros(1, 2)
    assert not off_policy_mask(zeros, zeros, zeros - 1, zeros, threshold=0.5).any()
