"""CISPO's loss against published values."""

import pytest
import torch

from rljob_trainer.algorithms.cispo import cispo_loss

ADVANTAGES = torch.tensor([1, -0.5, 2, -1], dtype=torch.float64)
RATIO = torch.tensor([1, 1.14, 1.56, 0.4], dtype=torch.float64)
CLIPPED = torch.tensor([1, 1.14, 1.28, 0.8], dtype=torch.float64)


def loss_of() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    log_probs = torch.tensor([-0.7, -1.2, -0.4, -2.1], dtype=torch.float64, requires_grad=True)
    loss, clipped = cispo_loss(log_probs, RATIO.log(), ADVANTAGES, low=0.2, high=0.28)
    return log_probs, loss, clipped


def test_the_gradient_is_minus_the_clipped_ratio_times_the_advantage() -> None:
    log_probs, loss, clipped = loss_of()
    loss.sum().backward()
    torch.testing.assert_close(log_probs.grad, -CLIPPED * ADVANTAGES)
    assert clipped.tolist() == [False, False, True, True]


def test_the_loss_is_that_times_the_log_probability() -> None:
    _, loss, _ = loss_of()
    assert loss.tolist() == pytest.approx([0.7, -0.684, 1.024, -1.68])


def test_the_gradient_is_that_of_the_loss() -> None:
    """The weight is a constant, as its ratio is given apart."""
    log_probs, _, _ = loss_of()
    assert torch.autograd.gradcheck(
        lambda x: cispo_loss(x, RATIO.log(), ADVANTAGES, low=0.2, high=0.28)[0], log_probs
    )


def test_an_enormous_ratio_stays_finite() -> None:
    log_probs = torch.zeros(2, requires_grad=True)
    loss, _ = cispo_loss(
        log_probs, torch.tensor([500.0, -500.0]), torch.ones(2), low=0.2, high=0.28
    )
    loss.sum().backward()
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == pytest.approx([-1.28, -0.8])
