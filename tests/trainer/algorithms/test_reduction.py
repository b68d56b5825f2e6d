"""The reductions, however samples are spread and padded."""

from typing import get_args

import pytest
import torch
from torch import Tensor

from rljob.api.algorithm import ReductionName
from rljob_trainer.algorithms.reduction import (
    Reduction,
    constant_mean,
    reduction,
    sample_mean,
    token_mean,
)
from rljob_trainer.trajectories.global_batch import GlobalBatch
from rljob_trainer.trajectories.trajectory import Trajectory

NAMES = get_args(ReductionName)
LENGTHS = [1, 6, 3, 2, 5, 4, 6, 0]


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(8, 6, dtype=torch.float64, generator=generator)
    lengths = torch.tensor(LENGTHS)
    return values, (torch.arange(6) < lengths[:, None]).double()


def of_this_batch(name: ReductionName) -> Reduction:
    return reduction(name, GlobalBatch(len(LENGTHS), sum(LENGTHS)), longest=6)


def test_each_sample_counts_the_same_whatever_its_length() -> None:
    values = torch.tensor([[1.0, 3.0, 5.0], [10.0, 99.0, 99.0]])
    mask = torch.tensor([[1.0, 1, 1], [1, 0, 0]])
    # ((1 + 3 + 5) / 3 + 10) / 2
    assert sample_mean(values, mask, count=2).item() == 6.5


def test_trajectories_of_one_sample_share_its_weight() -> None:
    """Two rows of one sample: 1 + 3 + 5 + 10 over its four tokens."""
    values = torch.tensor([[1.0, 3.0, 5.0], [10.0, 99.0, 99.0]])
    mask = torch.tensor([[1.0, 1, 1], [1, 0, 0]])
    assert sample_mean(values, mask, torch.tensor([4.0, 4.0]), count=1).item() == 4.75


def test_each_token_counts_the_same_whatever_its_sample() -> None:
    """DAPO, arXiv 2503.14476, equation 8, by hand: (1 + 3 + 5 + 10) / 4."""
    values = torch.tensor([[1.0, 3.0, 5.0], [10.0, 99.0, 99.0]])
    mask = torch.tensor([[1.0, 1, 1], [1, 0, 0]])
    assert token_mean(values, mask, count=4).item() == 4.75


def test_no_divisor_depends_on_the_responses() -> None:
    """Dr. GRPO, arXiv 2503.20783, listing 1, by hand: (1 + 3 + 5 + 10) / (2 x 4)."""
    values = torch.tensor([[1.0, 3.0, 5.0], [10.0, 99.0, 99.0]])
    mask = torch.tensor([[1.0, 1, 1], [1, 0, 0]])
    assert constant_mean(values, mask, count=2, longest=4).item() == 2.375


def test_a_batch_without_a_token_that_counts_is_0() -> None:
    values, mask = torch.full((2, 3), float("nan")), torch.zeros(2, 3)
    for name in NAMES:
        assert reduction(name, GlobalBatch(2, 0), longest=3)(values, mask).item() == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sample-mean", 6.5), ("token-mean", 4.75), ("constant", 2.375)],
)
def test_the_job_names_one(name: ReductionName, expected: float) -> None:
    values = torch.tensor([[1.0, 3.0, 5.0], [10.0, 99.0, 99.0]])
    mask = torch.tensor([[1.0, 1, 1], [1, 0, 0]])
    assert reduction(name, GlobalBatch(2, 4), longest=4)(values, mask).item() == expected


def test_the_global_batch_counts_samples_and_learned_tokens() -> None:
    def sample(mask: list[float]) -> Trajectory:
        return Trajectory(
            tokens=torch.zeros(len(mask) + 2, dtype=torch.int64),
            prompt_length=2,
            loss_mask=torch.tensor(mask),
            rollout_log_probs=torch.zeros(len(mask)),
        )

    assert GlobalBatch.of([sample([1, 0, 1]), sample([0]), sample([1])]) == GlobalBatch(3, 3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("ranks", [1, 2])
def test_parts_add_up_to_the_whole_with_the_same_gradient(
    batch: tuple[Tensor, Tensor], size: int, ranks: int, name: ReductionName
) -> None:
    values, mask = batch
    reduced = of_this_batch(name)
    whole_values = values.clone().requires_grad_()
    whole = reduced(whole_values, mask)
    whole.backward()
    parts_values = values.clone().requires_grad_()
    total = 0.0
    for rank in range(ranks):
        for part in torch.arange(8)[rank::ranks].split(size):
            loss = reduced(parts_values[part], mask[part])
            loss.backward()
            total += loss.item()
    assert total == pytest.approx(whole.item(), abs=1e-12)
    torch.testing.assert_close(parts_values.grad, whole_values.grad)


@pytest.mark.parametrize("name", NAMES)
def test_padding_does_not_matter(batch: tuple[Tensor, Tensor], name: ReductionName) -> None:
    reduced = of_this_batch(name)
    values, mask = batch
    longer = torch.cat([values, torch.full((8, 3), float("nan"))], dim=1).requires_grad_()
    loss = reduced(longer, torch.nn.functional.pad(mask, (0, 3)))
    loss.backward()
    assert loss.item() == pytest.approx(reduced(values, mask).item(), abs=1e-12)
    assert longer.grad is not None
    assert longer.grad[:, 6:].abs().max() == 0


def test_a_sample_without_a_token_that_counts_adds_nothing_and_still_counts() -> None:
    values = torch.tensor([[4.0, 6.0], [7.0, 7.0]])
    mask = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert sample_mean(values, mask, count=2).item() == 2.5


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_that_of_the_mean(
    batch: tuple[Tensor, Tensor], name: ReductionName
) -> None:
    values, mask = batch
    reduced = of_this_batch(name)
    assert torch.autograd.gradcheck(lambda v: reduced(v.square(), mask), values.requires_grad_())
