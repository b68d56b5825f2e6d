"""Truncated importance weights."""

import pytest
import torch

from rljob_trainer.algorithms.tis import tis_weights


def test_log_ratios_with_their_weights() -> None:
    """exp(0.5), exp(-0.5), and exp(1) = 2.718 above the cap."""
    log_ratio = torch.tensor([0.5, -0.5, 1], dtype=torch.float64)
    weights, capped = tis_weights(log_ratio, cap=2)
    assert weights.tolist() == pytest.approx([1.6487, 0.6065, 2.0], abs=1e-4)
    assert capped.tolist() == [False, False, True]


def test_agreement_weighs_one() -> None:
    weights, capped = tis_weights(torch.zeros(2), cap=1)
    assert weights.tolist() == [1, 1]
    assert not capped.any()


def test_a_token_that_the_engine_held_impossible_gets_the_cap() -> None:
    weights, _ = tis_weights(torch.tensor([-1.0 + float("inf")]), cap=2)
    assert weights.tolist() == [2]


def test_no_gradient_flows_through_a_weight() -> None:
    log_ratio = torch.zeros(2, requires_grad=True)
    assert not tis_weights(log_ratio, cap=2)[0].requires_grad


def test_a_weight_far_below_one_stays() -> None:
    """Without a floor there is one bound: exp(-3) = 0.0498, below the inverse of the cap."""
    weights, capped = tis_weights(torch.tensor([-4.0 + 1.0]), cap=2)
    assert weights.tolist() == pytest.approx([0.0498], abs=1e-4)
    assert not capped.any()


def test_a_floor_truncates_from_below() -> None:
    """As slime's --tis-clip-low: exp(-0.5) = 0.6065 and exp(-0.2) = 0.8187."""
    weights, capped = tis_weights(torch.tensor([-0.5, -0.2]), cap=2, floor=0.7)
    assert weights.tolist() == pytest.approx([0.7, 0.8187], abs=1e-4)
    assert capped.tolist() == [True, False]
