"""The loss of a batch from the job's algorithm, on tensors without a model."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from rljob.api.algorithm import AlgorithmSpec
from rljob_trainer.algorithms.objective import Objective
from rljob_trainer.trajectories.global_batch import GlobalBatch
from rljob_trainer.trajectories.padded_batch import padded_batch
from rljob_trainer.trajectories.trajectory import Trajectory

LONGEST = 12


def sample(
    advantage: float,
    old: Sequence[float],
    *,
    engine: Sequence[float] | None = None,
    mask: Sequence[float] | None = None,
    reference: Sequence[float] | None = None,
) -> Trajectory:
    """A response with one advantage; `engine` and `reference` default to the old ones."""
    size = len(old)
    return Trajectory(
        tokens=torch.arange(size + 1),
        prompt_length=1,
        loss_mask=torch.tensor(mask or [1.0] * size),
        rollout_log_probs=torch.tensor(engine or old),
        old_log_probs=torch.tensor(old),
        reference_log_probs=torch.tensor(reference or old),
        advantages=torch.full((size,), advantage),
    )


def some(count: int = 8) -> list[tuple[Trajectory, Tensor]]:
    """Samples of 1 to 6 tokens with their log-probabilities now."""
    random = torch.Generator().manual_seed(5)

    def numbers(size: int) -> Tensor:
        return -torch.rand(size, generator=random) * 2 - 0.1

    found = []
    for number in range(count):
        size = 1 + number % 6
        old = numbers(size)
        one = sample(
            float(torch.randn(1, generator=random)),
            old.tolist(),
            engine=(old + torch.randn(size, generator=random) * 0.5).tolist(),
            mask=[1.0] + [float(n % 3 != 0) for n in range(1, size)],
            reference=numbers(size).tolist(),
        )
        found.append((one, numbers(size)))
    return found


def loss_of(
    spec: dict[str, Any], samples: list[tuple[Trajectory, Tensor]], size: int | None = None
) -> tuple[dict[str, float], list[Tensor]]:
    """The report of a step in micro-batches of this size, and the gradient of each sample."""
    objective = Objective(AlgorithmSpec.model_validate(spec), longest=LONGEST)
    whole = GlobalBatch.of([one for one, _ in samples])
    now = [log_probs.clone().requires_grad_() for _, log_probs in samples]
    total: dict[str, float] = {}
    for part in torch.arange(len(samples)).split(size or len(samples)):
        batch = padded_batch([samples[n][0] for n in part], torch.device("cpu"))
        padded = torch.nn.utils.rnn.pad_sequence(
            [now[n] for n in part], batch_first=True, padding_value=float("nan")
        )
        loss, report = objective(batch, padded, padded.detach().square(), whole=whole)
        loss.backward()
        for name, value in report.items():
            before = total.get(name, 0.0)
            of_largest = name.endswith("_max")
            total[name] = max(before, value.item()) if of_largest else before + value.item()
    return total, [each.grad if each.grad is not None else torch.zeros(0) for each in now]


@pytest.mark.parametrize("reduction", ["sample-mean", "token-mean", "constant"])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_micro_batches_change_neither_loss_nor_gradient(size: int, reduction: str) -> None:
    """To 1e-5, in float32, with every term."""
    spec = {
        "reduction": reduction,
        "kl": {"lossCoefficient": 0.1},
        "entropyCoefficient": 0.01,
        "mismatch": {"correction": "tis"},
    }
    whole, gradients = loss_of(spec, some())
    parts, part_gradients = loss_of(spec, some(), size)
    assert parts == pytest.approx(whole, abs=1e-5)
    for one, other in zip(part_gradients, gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


# Two samples at ratio 1 with advantages 1 and -2, of one and three tokens, KL (k2) and entropy.
HAND = [
    (sample(1.0, [-1.0], reference=[-3.0]), torch.tensor([-1.0])),
    (sample(-2.0, [-1.0] * 3, reference=[-2.0] * 3), torch.tensor([-1.0] * 3)),
]


@pytest.mark.parametrize(
    ("reduction", "policy", "kl", "entropy"),
    [
        # The means of each sample: -1 and 2; 2 and 0.5; 1 and 1.
        ("sample-mean", 0.5, 1.25, 1.0),
        # The sums -1 + 3 x 2; 2 + 3 x 0.5; 4, over 4 tokens.
        ("token-mean", 1.25, 0.875, 1.0),
        # The same over 2 samples x 12 tokens.
        ("constant", 5 / 24, 3.5 / 24, 4 / 24),
    ],
)
def test_a_reduction_is_of_all_terms(
    reduction: str, policy: float, kl: float, entropy: float
) -> None:
    """By hand. The entropy of each token is 1, the square of its log-probability, see `loss_of`."""
    spec = {
        "reduction": reduction,
        "kl": {"lossCoefficient": 0.1, "estimator": "k2"},
        "entropyCoefficient": 0.01,
    }
    report, _ = loss_of(spec, HAND)
    assert report["loss/policy"] == pytest.approx(policy)
    assert report["loss/kl"] == pytest.approx(kl)
    assert report["loss/entropy"] == pytest.approx(entropy)
    assert report["loss/total"] == pytest.approx(policy + 0.1 * kl - 0.01 * entropy)


@pytest.mark.parametrize("reduction", ["sample-mean", "token-mean", "constant"])
def test_shares_are_comparable_whatever_the_reduction(reduction: str) -> None:
    """One of two samples, of 3 tokens, is clipped in all its tokens: the mean over samples.

    Of each ratio of e^0.9 the log is 0.9: KL -0.45, and (1 + 2.4596) / 2.
    """
    samples = [
        (sample(1.0, [-1.0]), torch.tensor([-1.0])),
        (sample(1.0, [-1.0] * 3), torch.tensor([-0.1] * 3)),
    ]
    report, _ = loss_of({"reduction": reduction}, samples)
    assert report["train/clip_share"] == 0.5
    assert report["train/clip_high_share"] == 0.5
    assert report["train/clip_low_share"] == 0
    assert report["train/kl_old_mean"] == pytest.approx(-0.45)
    assert report["train/ratio_mean"] == pytest.approx(1.7298016, abs=1e-5)
    assert report["train/ratio_max"] == pytest.approx(2.4596031, abs=1e-5)


@pytest.mark.parametrize(
    ("spec", "now", "low", "high"),
    [
        # Ratios 0.5, 2, 0.5, 2 with advantages 1, 1, -1, -1: PPO's bound keeps 0.5 for the third
        # and 2 for the fourth from going further, and the gradient of the others.
        ({}, [-1.6931472, -0.3068528, -1.6931472, -0.3068528], 0.25, 0.25),
        # The dual clip bounds the last at 1.5, too.
        ({"clip": {"dual": 1.5}}, [-1.6931472, -0.3068528, -1.6931472, -0.3068528], 0.25, 0.5),
        (
            {"estimator": "cispo", "clip": {"low": 0.2, "high": 0.2}},
            [-1.6931472, -0.3068528, -1.6931472, -0.3068528],
            0.5,
            0.5,
        ),
        # Its own bounds are 0 and 5.
        ({"estimator": "cispo"}, [-1.6931472, -0.3068528, 1.0, -0.3068528], 0, 0.25),
        # Those of gspo are 0.9997 and 1.0004.
        ({"estimator": "gspo"}, [-0.9995, -0.9997, -1.0004, -1.0002], 0.25, 0.25),
        ({"loss": "gspo", "clip": {"low": 0.1}}, [-0.9995, -0.9997, -1.0004, -1.0002], 0, 0.25),
    ],
)
def test_each_side_is_counted_apart(
    spec: dict[str, Any], now: list[float], low: float, high: float
) -> None:
    """By hand. A good token is clipped above, a bad one below; either side by cispo."""
    samples = [
        (sample(advantage, [-1.0]), torch.tensor([value]))
        for advantage, value in zip([1.0, 1.0, -1.0, -1.0], now, strict=True)
    ]
    report, _ = loss_of(spec, samples)
    assert report["train/clip_low_share"] == low
    assert report["train/clip_high_share"] == high
    assert report["train/clip_share"] == low + high


def test_the_ratio_of_a_response_decides_the_side() -> None:
    """GSPO: ratios 1/4 and 2 have the geometric mean 0.7071, below 0.8; the token's own is 2."""
    one = (sample(-1.0, [-2.0, -2.0]), torch.tensor([-3.3862944, -1.3068528]))
    report, _ = loss_of({"estimator": "gspo"}, [one])
    assert (report["train/clip_low_share"], report["train/clip_high_share"]) == (1, 0)
    assert report["train/ratio_max"] == pytest.approx(2, abs=1e-5)


def corrected(mismatch: dict[str, Any], **spec: Any) -> tuple[dict[str, float], list[Tensor]]:
    """Two samples at ratio 1: tokens twice and half as likely in the trainer; three times."""
    two, half, three = 0.6931472, -0.6931472, 1.0986123
    samples = [
        (sample(1.0, [-1.0, -1.0], engine=[-1.0 - two, -1.0 - half]), torch.tensor([-1.0] * 2)),
        (sample(-2.0, [-1.0], engine=[-1.0 - three]), torch.tensor([-1.0])),
    ]
    return loss_of({"mismatch": mismatch, **spec}, samples)


@pytest.mark.parametrize(
    ("mismatch", "policy", "weight", "capped", "masked"),
    [
        # -(1.5 + 0.5) / 2 and 2 x 1.5, halved.
        ({"correction": "tis", "cap": 1.5}, 1.0, 1.25, 0.75, 0.0),
        # The first response has the product 2 x 0.5 = 1: -1, and 2 x 1.5.
        ({"correction": "tis", "cap": 1.5, "level": "sequence"}, 1.0, 1.25, 0.5, 0.0),
        # -(0 + 0.5) / 2 and 0: what is left out still counts in the divisor.
        ({"correction": "icepop", "cap": 1.5}, -0.125, 0.125, 0.0, 0.75),
        ({"correction": "mis", "cap": 1.5}, -0.125, 0.125, 0.0, 0.75),
        ({"correction": "mis", "cap": 1.5, "level": "sequence"}, -0.5, 0.5, 0.0, 0.5),
        # The first sample has a token of ratio 0.5.
        ({"veto": 0.6}, 1.0, 0.5, 0.0, 0.5),
        ({"correction": "tis", "cap": 4, "veto": 0.6}, 3.0, 1.5, 0.0, 0.5),
    ],
)
def test_a_correction_weighs_the_policy_loss(
    mismatch: dict[str, Any], policy: float, weight: float, capped: float, masked: float
) -> None:
    """By hand. At ratio 1 the loss of a token is minus its advantage: -1, -1 and 2."""
    report, _ = corrected(mismatch)
    assert report["loss/policy"] == pytest.approx(policy, abs=1e-5)
    assert report["mismatch/weight_mean"] == pytest.approx(weight, abs=1e-5)
    assert report["mismatch/capped_share"] == pytest.approx(capped)
    assert report["mismatch/masked_share"] == pytest.approx(masked)


def test_what_is_left_out_has_no_gradient() -> None:
    _, gradients = corrected({"correction": "icepop", "cap": 1.5})
    # -A x weight / (tokens x samples) for the one token that stays: -1 x 0.5 / 4.
    assert gradients[0].tolist() == pytest.approx([0, -0.125], abs=1e-6)
    assert gradients[1].tolist() == [0]


def test_a_vetoed_sample_is_left_out_of_every_term() -> None:
    """The terms that remain are half of what the second sample has alone; by hand."""
    report, gradients = corrected({"veto": 0.6}, entropyCoefficient=0.01, kl={"estimator": "k2"})
    assert gradients[0].tolist() == [0, 0]
    assert report["loss/entropy"] == pytest.approx(0.5)


def test_the_sequence_mask_is_of_the_policy_loss_alone() -> None:
    """TRL's formula: the mask multiplies the surrogate, not the divergence.

    The second sample was likelier by 2 nats per token when the engine gave it, and is bad.
    """
    samples = [
        (sample(1.0, [-3.0], engine=[-1.0]), torch.tensor([-3.0])),
        (sample(-2.0, [-3.0], engine=[-1.0], reference=[-5.0]), torch.tensor([-3.0])),
    ]
    spec = {"mismatch": {"sequenceMask": 1.0}, "kl": {"estimator": "k2", "lossCoefficient": 1.0}}
    report, gradients = loss_of(spec, samples)
    assert report["loss/policy"] == pytest.approx(-0.5)
    assert report["loss/kl"] == pytest.approx(1.0)  # (2^2 / 2) / 2
    assert report["mismatch/masked_share"] == pytest.approx(0.5)
    assert gradients[1].tolist() == pytest.approx([1.0])  # of the divergence: 2 / 2
    kept, _ = loss_of({"mismatch": {"sequenceMask": 2.5}}, samples)
    assert kept["loss/policy"] == pytest.approx(0.5)


def test_without_a_correction_there_is_nothing_to_report() -> None:
    report, _ = corrected({})
    assert not [name for name in report if name.startswith("mismatch/")]


@pytest.mark.parametrize(
    "mismatch",
    [
        {"correction": "tis", "level": "sequence"},
        {"correction": "icepop", "floor": 0.5},
        {"correction": "mis", "level": "sequence", "veto": 0.3},
        {"sequenceMask": 0.2},
    ],
)
@pytest.mark.parametrize("reduction", ["sample-mean", "token-mean", "constant"])
@pytest.mark.parametrize("size", [1, 3])
def test_micro_batches_change_nothing_of_a_correction(
    size: int, reduction: str, mismatch: dict[str, Any]
) -> None:
    spec = {"reduction": reduction, "mismatch": mismatch, "kl": {"lossCoefficient": 0.1}}
    whole, gradients = loss_of(spec, some())
    parts, part_gradients = loss_of(spec, some(), size)
    assert parts == pytest.approx(whole, abs=1e-5)
    for one, other in zip(part_gradients, gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kl", "expected"),
    [
        ({"estimator": "k1"}, 12.0),
        ({"estimator": "k1", "unbiased": True}, 24.0),
        ({"estimator": "k3"}, 10.0),
        ({"estimator": "k3", "clamp": None}, 11.0),
        ({"estimator": "k3", "clamp": 2.5}, 2.5),
        ({"estimator": "k3", "clamp": None, "unbiased": True}, 22.0),
    ],
)
def test_the_divergence_in_the_loss(kl: dict[str, Any], expected: float) -> None:
    """A token that is twice as likely as before, and e^12 times as the reference has it; by hand.

    k3 is e^-12 - 1 + 12.
    """
    one = (sample(0.0, [-1.6931472], reference=[-13.0]), torch.tensor([-1.0]))
    report, _ = loss_of({"kl": {"lossCoefficient": 0.5, **kl}}, [one])
    assert report["loss/kl"] == pytest.approx(expected, abs=1e-4)
    assert report["loss/total"] == pytest.approx(expected / 2, abs=1e-4)
    assert report["kl/reference_mean"] == pytest.approx(10.0)
