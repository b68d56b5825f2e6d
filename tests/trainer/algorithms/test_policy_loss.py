"""The clipped loss against published values, and its gradient."""

import math

import pytest
import torch

from rljob_trainer.algorithms.policy_loss import clipped_policy_loss


def loss_of(
    ratio: list[float], advantages: list[float], **bounds: float
) -> tuple[list[float], list[bool]]:
    loss, clipped = clipped_policy_loss(
        torch.tensor(ratio, dtype=torch.float64).log(),
        torch.tensor(advantages, dtype=torch.float64),
        low=bounds.get("low", 0.2),
        high=bounds.get("high", 0.2),
        dual=bounds.get("dual"),
    )
    return loss.tolist(), clipped.tolist()


def test_dual_clip_as_slime_computes_it() -> None:
    loss, clipped = loss_of([2, 2, 0.5], [2, -2, 2], dual=1.5)
    assert loss == pytest.approx([-2.4, 3, -1])
    assert clipped == [True, True, False]


def test_ppo_as_nemo_rl_computes_it() -> None:
    loss, clipped = loss_of([0.5, 1, 1.5], [1, -1, 2])
    assert sum(loss) / 3 == pytest.approx(-0.6333, abs=1e-4)
    assert clipped == [False, False, True]


def test_dual_clip_as_skyrl_computes_it() -> None:
    loss, _ = loss_of([0.5, 1, 10], [1, -1, -4], dual=3)
    assert sum(loss) == pytest.approx(12.5)


def test_as_verl_computes_it() -> None:
    """Tests of verl's compute_policy_loss_vanilla: 1.5 is clipped at 1.3; 4 with c = 3 gives 3."""
    assert loss_of([1.5], [1], high=0.3)[0] == pytest.approx([-1.3])
    assert loss_of([4], [-1], dual=3)[0] == pytest.approx([3.0])


def test_the_mean_of_dual_clip_as_skyrl_computes_it() -> None:
    loss, _ = loss_of([0.5, 1, 10], [1, -1, -4], dual=3)
    assert sum(loss) / 3 == pytest.approx(4.166667, abs=1e-6)


def test_each_side_has_its_own_distance() -> None:
    """DAPO's clip-higher: 1.28 above, 0.8 below; by hand."""
    loss, clipped = loss_of([1.25, 1.5, 0.9, 0.5], [1, 1, -1, -1], low=0.2, high=0.28)
    assert loss == pytest.approx([-1.25, -1.28, 0.9, 0.8])
    assert clipped == [False, True, False, True]


def test_dual_clip_leaves_small_losses_alone() -> None:
    assert loss_of([2, 0.5], [-1, 1], dual=3) == loss_of([2, 0.5], [-1, 1])


def test_before_the_first_step_the_gradient_is_the_advantage() -> None:
    """At ratio 1 it is the policy gradient -A * grad log p: nothing is clipped."""
    log_ratio = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    advantages = torch.tensor([1.0, -2.0, 0.0], dtype=torch.float64)
    loss, clipped = clipped_policy_loss(log_ratio, advantages, low=0.2, high=0.2)
    loss.sum().backward()
    assert log_ratio.grad is not None
    assert log_ratio.grad.tolist() == [-1, 2, 0]
    assert not clipped.any()


def test_a_clipped_token_has_no_gradient() -> None:
    log_ratio = torch.tensor([2.0, 10.0, 0.5], dtype=torch.float64).log().requires_grad_()
    advantages = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    loss, clipped = clipped_policy_loss(log_ratio, advantages, low=0.2, high=0.2, dual=3)
    loss.sum().backward()
    assert log_ratio.grad is not None
    assert log_ratio.grad.tolist() == [0, 0, 0]
    assert clipped.all()


@pytest.mark.parametrize("advantage", [1.0, -1.0, 0.0])
@pytest.mark.parametrize("dual", [None, 3.0])
@pytest.mark.parametrize("log_ratio", [-1e4, -89.0, -21.0, 21.0, 89.0, 1e4])
def test_no_ratio_overflows(log_ratio: float, dual: float | None, advantage: float) -> None:
    """e^89 is infinite in float32, and infinity times a gradient of 0 is NaN.

    Beyond +-20, verl's bound, a token has no gradient whether the loss chooses its ratio or not.
    """
    ratio = torch.tensor([log_ratio], requires_grad=True)
    advantages = torch.tensor([advantage])
    loss, clipped = clipped_policy_loss(ratio, advantages, low=0.2, high=0.2, dual=dual)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert clipped.all()
    assert ratio.grad is not None
    assert ratio.grad.tolist() == [0]


def test_at_the_bound_of_the_ratio() -> None:
    """e^20 = 485165195.41, by a pocket calculator; the loss of a negative advantage."""
    loss, _ = loss_of([math.exp(25)], [-1])
    assert loss == pytest.approx([485165195.41])


def test_the_gradient_is_that_of_the_loss() -> None:
    """Away from the corners, where the loss has no derivative."""
    ratio = torch.tensor([[0.5, 0.95, 1.1], [1.5, 2.5, 6.0]], dtype=torch.float64)
    for sign in (1.0, -1.0):
        advantages = torch.full_like(ratio, sign * 1.5)

        def loss(log_ratio: torch.Tensor, advantages: torch.Tensor = advantages) -> torch.Tensor:
            return clipped_policy_loss(log_ratio, advantages, low=0.2, high=0.3, dual=3)[0]

        assert torch.autograd.gradcheck(loss, ratio.log().requires_grad_())
