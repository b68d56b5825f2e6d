"""The mean over samples, however they are spread and padded."""

import pytest
import torch
from torch import Tensor

from rljob_trainer.algorithms.reduction import sample_mean


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(8, 6, dtype=torch.float64, generator=generator)
    lengths = torch.tensor([1, 6, 3, 2, 5, 4, 6, 0])
    return values, (torch.arange(6) < lengths[:, None]).double()


def test_each_sample_counts_the_same_whatever_its_length() -> None:
    values = torch.tensor([[1.0, 3.0, 5.0], [10.0, 99.0, 99.0]])
    mask = torch.tensor([[1.0, 1, 1], [1, 0, 0]])
    # ((1 + 3 + 5) / 3 + 10) / 2
    assert sample_mean(values, mask, 2).item() == 6.5


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("ranks", [1, 2])
def test_parts_add_up_to_the_whole_with_the_same_gradient(
    batch: tuple[Tensor, Tensor], size: int, ranks: int
) -> None:
    values, mask = batch
    whole_values = values.clone().requires_grad_()
    whole = sample_mean(whole_values, mask, 8)
    whole.backward()
    parts_values = values.clone().requires_grad_()
    total = 0.0
    for rank in range(ranks):
        for part in torch.arange(8)[rank::ranks].split(size):
            loss = sample_mean(parts_values[part], mask[part], 8)
            loss.backward()
            total += loss.item()
    assert total == pytest.approx(whole.item(), abs=1e-12)
    torch.testing.assert_close(parts_values.grad, whole_values.grad)


def test_padding_does_not_matter(batch: tuple[Tensor, Tensor]) -> None:
    values, mask = batch
    longer = torch.cat([values, torch.full((8, 3), float("nan"))], dim=1).requires_grad_()
    loss = sample_mean(longer, torch.nn.functional.pad(mask, (0, 3)), 8)
    loss.backward()
    assert loss.item() == pytest.approx(sample_mean(values, mask, 8).item(), abs=1e-12)
    assert longer.grad is not None
    assert longer.grad[:, 6:].abs().max() == 0


def test_a_sample_without_a_token_that_counts_adds_nothing_and_still_counts() -> None:
    values = torch.tensor([[4.0, 6.0], [7.0, 7.0]])
    mask = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert sample_mean(values, mask, 2).item() == 2.5


def test_the_gradient_is_that_of_the_mean(batch: tuple[Tensor, Tensor]) -> None:
    values, mask = batch
    assert torch.autograd.gradcheck(
        lambda v: sample_mean(v.square(), mask, 8), values.requires_grad_()
    )
