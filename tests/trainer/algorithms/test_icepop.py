"""IcePop: tokens on which engine and trainer disagree are left out."""

import math

import pytest
import torch

from rljob_trainer.algorithms.icepop import icepop_weights


def test_tokens_outside_of_the_bounds_weigh_nothing() -> None:
    """As slime's icepop_function: the ratio within [0.5, 2], both included, and 0 beyond."""
    ratio = torch.tensor([0.4999, 0.5, 1.0, 1.6487, 2.0, 2.0001], dtype=torch.float64)
    weights, masked = icepop_weights(ratio.log(), cap=2.0 + 1e-12, floor=0.5 - 1e-12)
    assert weights.tolist() == pytest.approx([0, 0.5, 1.0, 1.6487, 2.0, 0])
    assert masked.tolist() == [True, False, False, False, False, True]


@pytest.mark.parametrize("log_ratio", [math.inf, -math.inf, 500.0, -500.0])
def test_what_one_of_the_two_holds_impossible_is_left_out(log_ratio: float) -> None:
    weights, masked = icepop_weights(torch.tensor([log_ratio]), cap=5, floor=0.5)
    assert weights.tolist() == [0]
    assert masked.tolist() == [True]


def test_no_gradient_flows_through_a_weight() -> None:
    assert not icepop_weights(torch.zeros(2, requires_grad=True), cap=2, floor=0)[0].requires_grad
