"""The critic's loss, with values by hand."""

import pytest
import torch

from rljob_trainer.algorithms.value_loss import clipped_value_loss

OLD = torch.tensor([0.0, 0.0, 0.0, 0.0])
NOW = torch.tensor([0.1, 0.5, 0.5, -0.5])
RETURNS = torch.tensor([1.0, 1.0, 0.0, 1.0])


def test_a_move_beyond_the_bound_gains_nothing() -> None:
    """Halves of squares: 0.9; of 0.5 and 0.8 the larger; of 0.5 and 0.2; of 1.5 and 1.2."""
    loss, clipped = clipped_value_loss(NOW, OLD, RETURNS, clip=0.2)
    assert loss.tolist() == pytest.approx([0.405, 0.32, 0.125, 1.125])
    assert clipped.tolist() == [False, True, False, False]


def test_without_a_bound_it_is_half_the_squared_error() -> None:
    loss, clipped = clipped_value_loss(NOW, OLD, RETURNS, clip=None)
    assert loss.tolist() == pytest.approx([0.405, 0.125, 0.125, 1.125])
    assert not clipped.any()


def test_a_clipped_value_has_no_gradient() -> None:
    values = NOW.clone().requires_grad_()
    loss, _ = clipped_value_loss(values, OLD, RETURNS, clip=0.2)
    (gradient,) = torch.autograd.grad(loss.sum(), values)
    assert gradient.tolist() == pytest.approx([-0.9, 0, 0.5, -1.5])


@pytest.mark.parametrize("clip", [None, 0.2])
def test_its_gradient_is_that_of_differences(clip: float | None) -> None:
    values = NOW.double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: clipped_value_loss(v, OLD.double(), RETURNS.double(), clip=clip)[0], values
    )
