"""KL estimators against published values, their gradients, and what they estimate."""

import pytest
import torch

from rljob_trainer.algorithms.kl import KLEstimator, kl_divergence

ESTIMATORS: tuple[KLEstimator, ...] = ("k1", "k2", "k3")


@pytest.mark.parametrize(
    ("estimator", "expected"),
    # NeMo RL has 13 and 28 for k3 without a clamp, 10 and 10 with its default of 10.
    [("k1", [-1, 14, 29]), ("k2", [0.5, 98, 420.5]), ("k3", [0.7183, 10, 10])],
)
def test_as_nemo_rl_computes_it(estimator: KLEstimator, expected: list[float]) -> None:
    log_probs = torch.tensor([-1.0, -1, -1], dtype=torch.float64)
    reference = torch.tensor([0.0, -15, -30], dtype=torch.float64)
    found = kl_divergence(log_probs - reference, estimator)
    assert found.tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_same_policy_is_no_distance_away(estimator: KLEstimator) -> None:
    assert kl_divergence(torch.zeros(4), estimator).tolist() == [0] * 4


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_gradient_is_that_of_the_estimator(estimator: KLEstimator) -> None:
    log_ratio = torch.linspace(-3, 3, 10, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: kl_divergence(x, estimator), log_ratio)


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_its_expectation_is_the_divergence(estimator: KLEstimator) -> None:
    """Exactly, by summing over all tokens instead of sampling them."""
    policy = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    reference = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)
    log_ratio = policy.log() - reference.log()
    found = (policy * kl_divergence(log_ratio, estimator)).sum().item()
    # 0.5 ln 2.5 + 0.3 ln 1.5 + 0.2 ln (1/3)
    assert found == pytest.approx(0.360062, abs=1e-6)


@pytest.mark.parametrize("log_ratio", [-1e4, -89.0, -21.0, 21.0, 89.0, 1e4])
def test_k3_overflows_nowhere(log_ratio: float) -> None:
    """e^89 is infinite in float32; beyond verl's bounds, 20 and 10, there is no gradient."""
    given = torch.tensor([log_ratio], requires_grad=True)
    found = kl_divergence(given, "k3")
    found.sum().backward()
    assert found.tolist() == [10]
    assert given.grad is not None
    assert given.grad.tolist() == [0]


def test_k3_keeps_its_precision_where_the_policies_are_close() -> None:
    # (1e-3)^2 / 2, far below what e^x - 1 - x leaves in single precision without care.
    assert kl_divergence(torch.tensor([1e-3]), "k3").item() == pytest.approx(5e-7, rel=1e-3)
