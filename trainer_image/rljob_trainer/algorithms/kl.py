"""Estimators of the divergence from the reference policy."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

KLEstimator = Literal["k1", "k2", "k3"]


def kl_divergence(
    log_probs: Float[Tensor, "*tokens"],
    reference_log_probs: Float[Tensor, "*tokens"],
    estimator: KLEstimator,
) -> Float[Tensor, "*tokens"]:
    """KL(policy || reference) in nats, from the one token that the policy sampled.

    From J. Schulman, "Approximating KL divergence", http://joschu.net/blog/kl-approx.html, with
    r = reference / policy:

    * k1 = -log r: unbiased, of either sign. As a loss its expected gradient is 0.
    * k2 = (log r)^2 / 2: biased, never negative; its gradient is that of the divergence.
    * k3 = r - 1 - log r: unbiased, never negative; GRPO's.

    Nothing is clamped: where the two are far apart, the numbers say so.
    """
    log_r = reference_log_probs - log_probs
    match estimator:
        case "k1":
            return -log_r
        case "k2":
            return log_r.square() / 2
        case "k3":
            return torch.expm1(log_r) - log_r
