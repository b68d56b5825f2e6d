"""Estimators of the divergence from the reference policy."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rljob_trainer.algorithms.log_ratio import LARGEST_LOG_RATIO, bounded

# verl and slime clamp k3 to 10, too (kl_penalty of verl/trainer/ppo/core_algos.py,
# compute_approx_kl of slime/utils/ppo_utils.py).
LARGEST_K3 = 10.0

KLEstimator = Literal["k1", "k2", "k3"]


def kl_divergence(
    log_ratio: Float[Tensor, "*tokens"],
    estimator: KLEstimator,
    *,
    clamp: float | None = LARGEST_K3,
    since: Float[Tensor, "*tokens"] | None = None,
) -> Float[Tensor, "*tokens"]:
    """KL(policy || reference) in nats, from the one token that the policy sampled.

    From J. Schulman, "Approximating KL divergence", http://joschu.net/blog/kl-approx.html, with
    r = reference / policy:

    * k1 = -log r: unbiased, of either sign. As a loss its expected gradient is 0, so the manifest
      refuses it there.
    * k2 = (log r)^2 / 2: biased, never negative; its gradient is that of the divergence.
    * k3 = r - 1 - log r: unbiased, never negative; used by GRPO.

    For k3, log r is at most 20, see `bounded`, and the result at most `clamp`: a token beyond
    either bound has no gradient. k1 and k2 contain no exponential and are not bounded.

    They assume that the policy itself sampled the token. If an older one did, the result times the
    ratio of the two is unbiased again, and with k1 and k3 so is its gradient, as a loss:
    DeepSeek-V3.2 (arXiv 2512.02556, "Unbiased KL Estimate"); slime's `--use-unbiased-kl`, which
    clamps the product, as here.

    Args:
        log_ratio: log-probability under the policy - under the reference, which is -log r.
        estimator: k1, k2 or k3.
        clamp: upper bound of k3; None: none.
        since: log-probability under the policy - under the one that sampled; None: the same one.
    """
    value = _estimate(log_ratio, estimator)
    if since is not None:
        value = bounded(since).exp() * value
    return value.clamp(max=clamp) if estimator == "k3" and clamp is not None else value


def _estimate(
    log_ratio: Float[Tensor, "*tokens"], estimator: KLEstimator
) -> Float[Tensor, "*tokens"]:
    match estimator:
        case "k1":
            return log_ratio
        case "k2":
            return log_ratio.square() / 2
        case "k3":
            # On the other side the exponential goes to 0.
            log_ratio = log_ratio.clamp(min=-LARGEST_LOG_RATIO)
            return torch.expm1(-log_ratio) + log_ratio
