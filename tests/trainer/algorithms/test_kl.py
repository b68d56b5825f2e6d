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


def test_k3_without_a_clamp_as_nemo_rl_computes_it() -> None:
    """NeMo RL without clamps of in- and output: e^1 - 1 - 1, 13 and 28; slime's k3, too."""
    log_ratio = torch.tensor([-1.0, 14, 29], dtype=torch.float64, requires_grad=True)
    found = kl_divergence(log_ratio, "k3", clamp=None)
    assert found.tolist() == pytest.approx([0.7183, 13, 28], abs=1e-4)
    assert torch.autograd.gradcheck(lambda x: kl_divergence(x, "k3", clamp=None), log_ratio)


def test_another_clamp() -> None:
    assert kl_divergence(torch.tensor([14.0, 3.0]), "k3", clamp=5.0).tolist() == pytest.approx(
        [5, 2.0498], abs=1e-4
    )


@pytest.mark.parametrize("log_ratio", [-1e4, -89.0, 89.0, 1e4])
def test_without_a_clamp_k3_stays_finite(log_ratio: float) -> None:
    given = torch.tensor([log_ratio], requires_grad=True)
    found = kl_divergence(given, "k3", clamp=None)
    found.sum().backward()
    assert found.isfinite().all()
    assert given.grad is not None
    assert given.grad.isfinite().all()


def test_the_unbiased_estimate_is_the_ratio_times_the_estimate() -> None:
    """The inputs of slime's test of `importance_ratio`; e^-0.5 - 0.5 = 0.106531 by hand.

    1 x 0.106531, 2 x 0.106531, and 0.5 x (e - 2).
    """
    log_ratio = torch.tensor([0.0 + 0.5, -1.0 + 1.5, -2.0 + 1.0], dtype=torch.float64)
    since = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64).log()
    found = kl_divergence(log_ratio, "k3", since=since)
    assert found.tolist() == pytest.approx([0.106531, 0.213061, 0.359141], abs=1e-6)


def test_the_product_is_clamped_as_in_slime() -> None:
    """k3 at -2 is e^2 - 3 = 4.389; times 4 it is above 10, times 2 it is 8.778."""
    log_ratio = torch.tensor([-2.0, -2.0])
    found = kl_divergence(log_ratio, "k3", since=torch.tensor([4.0, 2.0]).log())
    assert found.tolist() == pytest.approx([10, 8.778], abs=1e-3)


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_the_unbiased_estimate_has_the_gradient_of_the_divergence(estimator: KLEstimator) -> None:
    """Of sum p log(p / q), exactly: by summing over all tokens that another policy samples.

    With p = (0.5, 0.3, 0.2) and q = (0.2, 0.2, 0.6) the derivative with respect to logit i is
    p_i (log(p_i / q_i) - 0.360062): 0.5 (ln 2.5 - 0.360062), 0.3 (ln 1.5 - 0.360062) and
    0.2 (ln (1/3) - 0.360062).
    """
    logits = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log().requires_grad_()
    reference = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64).log()
    sampler = torch.tensor([0.1, 0.6, 0.3], dtype=torch.float64)
    now = logits.log_softmax(-1)
    found = (sampler * kl_divergence(now - reference, estimator, since=now - sampler.log())).sum()
    found.backward()
    assert found.item() == pytest.approx(0.360062, abs=1e-6)
    assert logits.grad is not None
    assert logits.grad.tolist() == pytest.approx([0.278114, 0.013621, -0.291735], abs=1e-6)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_gradient_of_the_unbiased_estimate(estimator: KLEstimator) -> None:
    log_probs = torch.linspace(-3, -0.1, 8, dtype=torch.float64, requires_grad=True)
    reference = torch.linspace(-1, -2, 8, dtype=torch.float64)
    old = torch.linspace(-2, -0.5, 8, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: kl_divergence(x - reference, estimator, since=x - old), log_probs
    )


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
