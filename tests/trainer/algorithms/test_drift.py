"""The distance from the log-probabilities that the ratio starts from."""

from functools import partial

import pytest
import torch
from torch import Tensor

from rljob_trainer.algorithms.drift import drift
from rljob_trainer.algorithms.reduction import sample_mean

LOG2 = 0.6931472


def drifted(log_ratio: Tensor, mask: Tensor) -> dict[str, Tensor]:
    return drift(log_ratio, mask, partial(sample_mean, mask=mask, count=len(mask)))


def test_by_hand() -> None:
    """Ratios 2 and 1/2; 4, of a sample whose other token, 1000, is not learned."""
    log_ratio = torch.tensor([[LOG2, -LOG2], [2 * LOG2, 6.9077553]])
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    found = drifted(log_ratio, mask)
    assert found["train/kl_old_mean"].item() == pytest.approx(-LOG2, abs=1e-6)  # (0 - 2 log 2) / 2
    assert found["train/ratio_mean"].item() == pytest.approx(2.625, abs=1e-5)  # (1.25 + 4) / 2
    assert found["train/ratio_max"].item() == pytest.approx(4, abs=1e-5)


def test_divergence_is_that_of_verl_where_the_policy_moved_away() -> None:
    """verl: ppo_kl = masked_mean(-(log_prob - old_log_prob)): 0.3 and 0.1 lost, 0.2 on average."""
    found = drifted(torch.tensor([[-0.3, -0.1]]), torch.ones(1, 2))
    assert found["train/kl_old_mean"].item() == pytest.approx(0.2)


def test_what_is_not_learned_has_no_largest_ratio() -> None:
    found = drifted(torch.tensor([[9.0]]), torch.zeros(1, 1))
    assert {name: value.item() for name, value in found.items()} == {
        "train/kl_old_mean": 0,
        "train/ratio_mean": 0,
        "train/ratio_max": 0,
    }


def test_no_ratio_overflows() -> None:
    """verl clamps the log-ratio to 20: e^20 is 4.852e8."""
    found = drifted(torch.tensor([[500.0]]), torch.ones(1, 1))
    assert found["train/ratio_max"].item() == pytest.approx(4.851652e8, rel=1e-5)
    assert found["train/kl_old_mean"].item() == -20
