"""The corrections of a job, by token and by response; the veto."""

import math
from typing import Any

import pytest
import torch

from rljob.api.algorithm import MismatchSpec
from rljob_trainer.algorithms.correction import correction, corrects
from rljob_trainer.algorithms.mis import mis_weights
from rljob_trainer.algorithms.sequence_ratio import response_log_ratio
from rljob_trainer.algorithms.veto import vetoed

# Two responses; the product of the first one's learned ratios is 2 x 1.5 = 3, of the other's 0.8.
RATIO = torch.tensor([[2.0, 100.0, 1.5], [0.5, 1.6, 1.0]], dtype=torch.float64)
MASK = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]], dtype=torch.float64)


def of(spec: dict[str, Any]) -> tuple[list[list[float]], list[list[bool]], list[list[bool]]]:
    found = correction(RATIO.log(), MASK, MismatchSpec.model_validate(spec))
    return found.weights.tolist(), found.capped.tolist(), found.masked.tolist()


def test_the_ratio_of_a_response_is_the_product_of_its_tokens() -> None:
    """slime's level "sequence", which leaves tokens out that are not learned; by hand."""
    found = response_log_ratio(RATIO.log(), MASK).exp()
    assert found[0].tolist() == pytest.approx([3] * 3)
    assert found[1].tolist() == pytest.approx([0.8] * 3)


def test_the_ratio_of_a_long_response_stays_finite() -> None:
    """e^1000 is infinite; verl and slime bound the sum to +-20, too: e^20 = 485165195.41."""
    found = response_log_ratio(torch.full((1, 1000), 1.0), torch.ones(1, 1000)).exp()
    assert found[0, 0].item() == pytest.approx(485165195.41, rel=1e-6)


def test_by_token() -> None:
    weights, capped, masked = of({"correction": "tis", "cap": 1.8, "floor": 0.6})
    assert weights[0] == pytest.approx([1.8, 1.8, 1.5])
    assert weights[1] == pytest.approx([0.6, 1.6, 1.0])
    assert capped == [[True, True, False], [True, False, False]]
    assert masked == [[False] * 3] * 2


def test_tis_by_response() -> None:
    weights, capped, _ = of({"correction": "tis", "cap": 2.0, "level": "sequence"})
    assert weights[0] == pytest.approx([2.0] * 3)
    assert weights[1] == pytest.approx([0.8] * 3)
    assert capped == [[True] * 3, [False] * 3]


def test_mis_by_response_leaves_it_out_as_a_whole() -> None:
    weights, _, masked = of({"correction": "mis", "cap": 2.0, "level": "sequence"})
    assert weights[0] == [0] * 3
    assert weights[1] == pytest.approx([0.8] * 3)
    assert masked == [[True] * 3, [False] * 3]


@pytest.mark.parametrize("name", ["mis", "icepop"])
def test_masking_by_token(name: str) -> None:
    weights, capped, masked = of({"correction": name, "cap": 1.8, "floor": 0.6})
    assert weights[0] == pytest.approx([0, 0, 1.5])
    assert weights[1] == pytest.approx([0, 1.6, 1.0])
    assert masked == [[True, True, False], [True, False, False]]
    assert capped == [[False] * 3] * 2


def test_mis_without_a_floor_keeps_small_weights() -> None:
    """Liu, Li et al.: the indicator is of the upper bound alone."""
    weights, masked = mis_weights(torch.tensor([-5.0]), cap=2)
    assert weights.tolist() == pytest.approx([math.exp(-5)])
    assert not masked.any()


def test_a_single_token_vetoes_its_response() -> None:
    """slime's calculate_veto_mask, by hand: below 1e-4, and only where it is learned."""
    ratio = torch.tensor([[1.0, 0.9e-4, 1.0], [1.0, 1.1e-4, 1.0], [1.0, 1.0, 1e-9]])
    mask = torch.tensor([[1.0, 1, 1], [1, 1, 1], [1, 1, 0]])
    found = vetoed(ratio.log(), mask, threshold=1e-4)
    assert found.tolist() == [[True] * 3, [False] * 3, [False] * 3]


def test_a_veto_needs_no_correction() -> None:
    weights, _, masked = of({"veto": 0.6})
    assert weights == [[1] * 3, [0] * 3]
    assert masked == [[False] * 3, [True] * 3]


def test_none_corrects_nothing() -> None:
    weights, capped, masked = of({})
    assert weights == [[1] * 3] * 2
    assert capped == masked == [[False] * 3] * 2
    assert not corrects(MismatchSpec())
    assert corrects(MismatchSpec(veto=1e-4))
    assert corrects(MismatchSpec(correction="mis"))
