"""Whitening: masked, with Bessel's correction, over the whole batch."""

import pytest
import torch

from rljob_trainer.algorithms.whitening import whiten


def tensors(*rows: list[float]) -> list[torch.Tensor]:
    return [torch.tensor(row, dtype=torch.float64) for row in rows]


def test_by_hand() -> None:
    """1, 2, 3 and 6 count: mean 3, variance 14/3; the 100 does not."""
    found = whiten(tensors([1, 2, 100], [3, 6]), tensors([1, 1, 0], [1, 1]))
    scale = (14 / 3 + 1e-8) ** -0.5
    assert found[0].tolist() == pytest.approx([-2 * scale, -scale, 0])
    assert found[1].tolist() == pytest.approx([0, 3 * scale])


def test_the_result_has_mean_0_and_variance_1() -> None:
    values = list(torch.randn(9, 7, generator=torch.Generator().manual_seed(0)).double())
    masks = [torch.ones(7).double()] * 9
    together = torch.cat(whiten(values, masks))
    assert together.mean().item() == pytest.approx(0, abs=1e-12)
    assert together.var().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("values", [[0.1] * 10, [7.0]])
def test_equal_values_give_exactly_zero(values: list[float]) -> None:
    (found,) = whiten(tensors(values), tensors([1] * len(values)))
    assert found.tolist() == [0] * len(values)


def test_what_does_not_count_may_hold_anything() -> None:
    (found,) = whiten(tensors([1, float("nan"), 3]), tensors([1, 0, 1]))
    assert found.tolist() == pytest.approx([-(0.5**0.5), 0, 0.5**0.5])


def test_how_samples_are_spread_does_not_matter() -> None:
    one = whiten(tensors([1, 2, 3, 6]), tensors([1, 1, 1, 1]))
    other = whiten(tensors([1], [2, 3], [6]), tensors([1], [1, 1], [1]))
    torch.testing.assert_close(torch.cat(one), torch.cat(other))
