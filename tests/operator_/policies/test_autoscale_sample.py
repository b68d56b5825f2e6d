"""The trainer's numbers are used only if all are present and possible."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rljob_operator.observed import Report
from rljob_operator.policies.autoscale_sample import Sample
from tests.operator_.policies.rate import START, seconds

BODY = {
    "phase": "running",
    "wait_share": 0.25,
    "held_share": 0.5,
    "engines": 3,
    "window_seconds": 80.5,
    "window_tokens_per_second": 1200,
    "rollout": 7,
}


def sample(**changes: Any) -> Sample | None:
    return Sample.of(Report(START, BODY | changes))


def test_all_numbers() -> None:
    assert sample() == Sample(START, 0.25, 0.5, 3, seconds(80.5), 1200.0)
    assert sample(phase="evaluating") == sample()
    assert Sample.of(None) is None


@pytest.mark.parametrize("phase", ["starting", "stopping", "finished", None, 3])
def test_a_trainer_that_does_not_train_tells_nothing(phase: object) -> None:
    assert sample(phase=phase) is None


@pytest.mark.parametrize("name", sorted(set(BODY) - {"phase", "rollout"}))
def test_a_number_that_is_missing_or_impossible(name: str) -> None:
    assert Sample.of(Report(START, {k: v for k, v in BODY.items() if k != name})) is None
    for value in (None, "0.5", True, [], {}, -0.1, math.nan, math.inf, 10**400, 1e300):
        assert sample(**{name: value}) is None


@pytest.mark.parametrize(
    "changes", [{"wait_share": 1.01}, {"held_share": 1.01}, {"engines": 0}, {"engines": 0.9}]
)
def test_shares_and_engines_have_bounds(changes: dict[str, float]) -> None:
    assert sample(**changes) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from(sorted(BODY)), JSON))
def test_any_report_can_be_read(changes: dict[str, Any]) -> None:
    found = sample(**changes)
    assert found is None or (0 <= found.waiting_share <= 1 and found.engines >= 1)
