"""The losses against NeMo RL's golden file: values and gradients in float64.

tests/unit/algorithms/data/clipped_pg_loss_goldens.json of NVIDIA-NeMo/RL, computed by its commit
aa739509ce37 with torch 2.6.0. Each of its divisors is larger by 1e-8; the two agree to about that.

Not here: force_on_policy and reinforce have no ratio; seq_mask_tis masks by the geometric mean and
weighs by token, which no correction here does; the vapo cases add a term for correct samples.
"""

import pytest
import torch
from torch import Tensor

from rljob_trainer.algorithms.cispo import cispo_loss
from rljob_trainer.algorithms.icepop import icepop_weights
from rljob_trainer.algorithms.kl import kl_divergence
from rljob_trainer.algorithms.policy_loss import clipped_policy_loss
from rljob_trainer.algorithms.reduction import sample_mean, token_mean
from rljob_trainer.algorithms.sequence_ratio import response_log_ratio, sequence_log_ratio
from rljob_trainer.algorithms.tis import tis_weights

TOKENS = 5


def tensor(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


MASK = tensor([1, 1, 1, 0], [1, 1, 0, 0])
ADVANTAGES = tensor([1.2, -0.7, 0.4, 2.0], [-1.1, 0.6, 1.5, -0.3])
OLD = tensor([-1.0, -1.1, -0.8, -1.3], [-0.9, -1.0, -1.2, -0.8])
ENGINE = tensor([-1.2, -1.5, -0.7, -1.1], [-1.4, -0.7, -1.3, -1.0])
REFERENCE = tensor([-1.1, -0.7, -1.4, -1.0], [-1.3, -0.8, -1.0, -1.4])
NOW = tensor([-1.6, -0.8, -1.1, -1.4], [-0.7, -1.4, -0.9, -1.2])


@pytest.fixture
def now() -> Tensor:
    return NOW.clone().requires_grad_()


def check(now: Tensor, loss: Tensor, expected: float, gradient: list[list[float]]) -> None:
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=2e-8)
    assert now.grad is not None
    torch.testing.assert_close(now.grad, tensor(*gradient), rtol=2e-8, atol=1e-15)


def test_ppo_token(now: Tensor) -> None:
    loss, _ = clipped_policy_loss(now - OLD, ADVANTAGES, low=0.2, high=0.2)
    check(
        now,
        token_mean(loss, MASK, count=TOKENS),
        0.18627018364195694,
        [
            [-0.13171479239913675, 0.18898023268267997, -0.05926545753600652, 0],
            [0.26870860625782017, -0.08043840536339991, 0, 0],
        ],
    )


def test_dual_clip(now: Tensor) -> None:
    old = OLD.clone()
    old[0, 1] = -3.0
    loss, _ = clipped_policy_loss(now - old, ADVANTAGES, low=0.2, high=0.2, dual=3)
    check(
        now,
        token_mean(loss, MASK, count=TOKENS),
        0.417289950119277,
        [
            [-0.13171479239913675, 0, -0.05926545753600652, 0],
            [0.26870860625782017, -0.08043840536339991, 0, 0],
        ],
    )


def test_cispo_with_token_is(now: Tensor) -> None:
    loss, _ = cispo_loss(now, (now - OLD).detach(), ADVANTAGES, low=0.2, high=0.2)
    weights, _ = tis_weights(OLD - ENGINE, cap=1e9)
    check(
        now,
        token_mean(loss * weights, MASK, count=TOKENS),
        0.03329652014119518,
        [
            [-0.23450932909773395, 0.2506265487024803, -0.057909594638482234, 0],
            [0.435262414594309, -0.07111854904320782, 0, 0],
        ],
    )


def test_tis_token(now: Tensor) -> None:
    loss, _ = clipped_policy_loss(now - OLD, ADVANTAGES, low=0.2, high=0.2)
    weights, capped = tis_weights(OLD - ENGINE, cap=1.3, floor=0.7)
    check(
        now,
        token_mean(loss * weights, MASK, count=TOKENS),
        0.3209028399844618,
        [
            [-0.1608768107267998, 0.24567430248748398, -0.05362560357559994, 0],
            [0.3493211881351662, -0.059590236335788666, 0, 0],
        ],
    )
    assert token_mean(weights, MASK, count=TOKENS).item() == pytest.approx(1.093411677188746)
    assert token_mean(capped.double(), MASK, count=TOKENS).item() == pytest.approx(0.3999999992)


def test_icepop_token(now: Tensor) -> None:
    loss, _ = clipped_policy_loss(now - OLD, ADVANTAGES, low=0.2, high=0.2)
    weights, masked = icepop_weights(OLD - ENGINE, cap=1.25, floor=0.75)
    check(
        now,
        token_mean(loss * weights, MASK, count=TOKENS),
        -0.21450241430239975,
        [[-0.1608768107267998, 0, -0.05362560357559994, 0], [0, 0, 0, 0]],
    )
    assert token_mean(weights, MASK, count=TOKENS).item() == pytest.approx(0.4252480343887298)
    assert token_mean(masked.double(), MASK, count=TOKENS).item() == pytest.approx(0.5999999988)


def test_gspo_sequence_is(now: Tensor) -> None:
    ratio = sequence_log_ratio(now - OLD, MASK)
    loss, _ = clipped_policy_loss(ratio, ADVANTAGES, low=0.2, high=0.2)
    weights, _ = tis_weights(response_log_ratio(OLD - ENGINE, MASK), cap=1e9)
    check(
        now,
        sample_mean(loss * weights, MASK, count=2),
        -0.06433245613699731,
        [
            [-0.06749293963637779, -0.06749293963637779, -0.06749293963637779, 0],
            [0.06907318137816686, 0.06907318137816686, 0, 0],
        ],
    )
    assert sample_mean(weights, MASK, count=2).item() == pytest.approx(1.4350620072548388)


def test_kl_on_policy_unfiltered() -> None:
    """The metric kl_penalty: k3 times the ratio to the engine's policy."""
    unfiltered = tensor([-1.3, -0.9, -1.0, -1.2], [-0.8, -1.2, -1.1, -1.0])
    found = kl_divergence(unfiltered - REFERENCE, "k3", since=unfiltered - ENGINE)
    assert token_mean(found, MASK, count=TOKENS).item() == pytest.approx(
        0.07205295348737359, rel=2e-8
    )
