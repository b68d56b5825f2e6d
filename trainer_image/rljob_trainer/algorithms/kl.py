"""Estimators of the divergence from the reference policy."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

KLEstimator = Literal["k1", "k2", "k3"]


def kl_divergence(
    log_ratio: Float[Tensor, "*tokens"], estimator: KLEstimator
) -> Float[Tensor, "*tokens"]:
    """KL(policy || reference) in nats, from the one token that the policy sampled.

    From J. Schulman, "Approximating KL divergence", http://joschu.net/blog/kl-approx.html, with
    r = reference / policy:

    * k1 = -log r: unbiased, of either sign. As a loss its expected gradient is 0.
    * k2 = (log r)^2 / 2: biased, never negative; its gradient is that of the divergence.
    * k3 = r - 1 - log r: unbiased, never negative; GRPO's.

    Nothing is clamped: where the two are far apart, the numbers say so.

    Args:
        log_ratio: log-probability under the policy - under the reference, which is -log r.
        estimator: k1, k2 or k3.
    """
    match estimator:
        case "k1":
            return log_ratio
        case "k2":
            return log_ratio.square() / 2
        case "k3":
            return torch.expm1(-log_ratio) + log_ratio
