"""The ratio of a response, as GSPO has it."""

import math

import pytest
import torch

from rljob_trainer.algorithms.policy_loss import clipped_policy_loss
from rljob_trainer.algorithms.sequence_ratio import sequence_log_ratio


def test_it_is_the_geometric_mean_of_the_tokens_that_are_learned() -> None:
    """arXiv 2507.18071, equation 7, by hand: (2 x 8)^(1/2) = 4; the second token is a tool's."""
    ratio = torch.tensor([[2.0, 100.0, 8.0], [3.0, 3.0, 3.0]], dtype=torch.float64)
    mask = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    found = sequence_log_ratio(ratio.log(), mask).exp()
    assert found[0].tolist() == pytest.approx([4, 4, 4])
    assert found[1].tolist() == [1, 1, 1]  # nothing is learned: it has no part in the loss


def test_a_response_is_clipped_as_a_whole() -> None:
    log_ratio = torch.tensor([[math.log(1.5), 0.0], [0.1, -0.1]], dtype=torch.float64)
    mask, advantages = torch.ones(2, 2).double(), torch.ones(2, 2).double()
    ratio = sequence_log_ratio(log_ratio, mask)
    _, clipped = clipped_policy_loss(ratio, advantages, low=0.2, high=0.2)
    assert clipped.tolist() == [[True, True], [False, False]]


def test_the_gradient_of_a_token_is_that_of_the_whole_divided_by_the_length() -> None:
    """Equation 10: s_i(theta) A grad log p, averaged over the tokens."""
    log_ratio = torch.tensor([[0.1, -0.3, 0.05]], dtype=torch.float64, requires_grad=True)
    mask = torch.ones(1, 3).double()
    advantages = torch.full((1, 3), 2.0).double()
    loss, _ = clipped_policy_loss(
        sequence_log_ratio(log_ratio, mask), advantages, low=0.2, high=0.2
    )
    loss.mean().backward()
    ratio = math.exp((0.1 - 0.3 + 0.05) / 3)
    assert log_ratio.grad is not None
    assert log_ratio.grad[0].tolist() == pytest.approx([-ratio * 2 / 3] * 3)


def test_the_gradient_is_that_of_the_loss() -> None:
    """Of three responses, one of them clipped, with tokens that are not learned."""
    log_ratio = torch.tensor(
        [[0.05, -0.3, 0.05], [0.5, 0.4, 9.0], [0.01, 0.02, -0.05]], dtype=torch.float64
    )
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]).double()
    advantages = torch.tensor([[2.0] * 3, [1.0] * 3, [-1.5] * 3]).double()
    assert torch.autograd.gradcheck(
        lambda x: clipped_policy_loss(sequence_log_ratio(x, mask), advantages, low=0.2, high=0.2)[
            0
        ],
        log_ratio.requires_grad_(),
    )
