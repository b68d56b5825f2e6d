"""Buffer filters: the built-in ones and custom ones."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rljob.errors import UsageError
from rljob_trainer.algorithms.buffer_filter import ReadyGroup, ReadySample, load_buffer_filter
from tests.project.metadata import ROOT

HOOKS = """
import numpy as np

def newest(groups, count):
    assert isinstance(groups, list)
    return range(len(groups))[-count:]

def an_array(groups, count):
    return np.arange(count)

def too_few(groups, count):
    return list(range(count - 1))

def doubled(groups, count):
    return [0] * count

def beyond(groups, count):
    return list(range(1, count)) + [len(groups)]

def from_the_end(groups, count):
    return list(range(1, count)) + [-1]

def groups_themselves(groups, count):
    return groups[:count]

def bools(groups, count):
    return [True, False]

def a_number(groups, count):
    return 2

def raises(groups, count):
    raise ValueError("no such task")
"""


def group(*rewards: float, uses: int = 0, **metadata: object) -> ReadyGroup:
    samples = (ReadySample("", reward, 4, "completed", (), {}) for reward in rewards)
    return ReadyGroup("", "", metadata, tuple(samples), (3,), 1, uses)


def chosen(name: str, groups: Sequence[ReadyGroup], count: int) -> list[int]:
    choose = load_buffer_filter(name)
    assert choose is not None
    return list(choose(groups, count))


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of the user's."""
    (tmp_path / "buffer_hooks.py").write_text(HOOKS)
    monkeypatch.syspath_prepend(tmp_path)
    return "buffer_hooks"


def test_rewards_that_float32_cannot_tell_apart_have_no_deviation() -> None:
    groups = [group(0.3, 0.1 + 0.2, uses=1), group(0.3, 0.3)]
    assert chosen("prioritized", groups, 1) == [1]  # of equals the less used


def test_no_filter() -> None:
    assert load_buffer_filter(None) is None


def test_prioritized_takes_the_rewards_that_differ_most() -> None:
    """Standard deviations 0, 0.5, 0.43, 0.5."""
    groups = [group(1, 1, 1, 1), group(0, 0, 1, 1), group(0, 0, 0, 1), group(1, 0, 1, 0)]
    assert chosen("prioritized", groups, 1) == [1]
    assert chosen("prioritized", groups, 3) == [1, 3, 2]


def test_prioritized_prefers_the_less_used_of_equals() -> None:
    groups = [group(0, 1, uses=2), group(0, 1), group(0, 1, uses=1)]
    assert chosen("prioritized", groups, 2) == [1, 2]


def test_stratified_takes_of_each_level_in_turn() -> None:
    """Mean rewards from 0 to 1, so the levels begin at 0, 0.25, 0.5 and 0.75."""
    means = [0.0, 0.1, 0.2, 0.3, 1.0, 0.24, 0.9, 0.0]
    groups = [group(mean) for mean in means]
    assert chosen("stratified", groups, 3) == [0, 3, 4]
    assert chosen("stratified", groups, 5) == [0, 3, 4, 1, 6]
    assert chosen("stratified", groups, 6) == [0, 3, 4, 1, 6, 2]


def test_stratified_among_equals_takes_the_oldest() -> None:
    assert chosen("stratified", [group(0.5), group(0.5), group(0.5)], 2) == [0, 1]


@pytest.mark.parametrize("name", ["prioritized", "stratified"])
@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2), min_size=1), st.data())
def test_built_in_filters_choose_as_many_different_ones(
    name: str, rewards: list[list[float]], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(rewards)))
    found = chosen(name, [group(*each) for each in rewards], count)
    assert len(found) == len(set(found)) == count
    assert set(found) <= set(range(len(rewards)))


def test_a_function_of_the_users(hooks: str) -> None:
    groups = tuple(group(0) for _ in range(4))
    assert chosen(f"{hooks}:newest", groups, 2) == [2, 3]
    assert chosen(f"{hooks}:an_array", groups, 2) == [0, 1]


def test_the_one_in_the_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes of each task in turn, those that were used least before."""
    text = (ROOT / "docs" / "buffer.md").read_text()
    (tmp_path / "documented_filter.py").write_text(text.split("```python\n")[1].split("```")[0])
    monkeypatch.syspath_prepend(tmp_path)
    tasks = ["math", "math", "math", "code", "code"]
    groups = [group(0, uses=n == 0, task=task) for n, task in enumerate(tasks)]
    assert sorted(chosen("documented_filter:by_task", groups, 3)) == [1, 2, 3]
    assert sorted(chosen("documented_filter:by_task", groups, 4)) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("buffer_hooks:np", "module"),
    ],
)
def test_what_cannot_be_loaded_is_named(spec: str, found: str, hooks: str) -> None:
    with pytest.raises(UsageError) as raised:
        load_buffer_filter(spec)
    message = str(raised.value)
    parts = ("spec.rollout.bufferFilter", spec, found, "allowed: prioritized, stratified, or")
    assert all(part in message for part in parts)


@pytest.mark.parametrize(
    ("function", "found"),
    [
        ("too_few", "[0]; allowed: 2 different positions from 0 to 3"),
        ("doubled", "[0, 0]; allowed"),
        ("beyond", "[1, 4]; allowed"),
        ("from_the_end", "[1, -1]; allowed"),
        ("groups_themselves", "[ReadyGroup("),
        ("bools", "[True, False]; allowed"),
        ("a_number", "2; allowed"),
        ("raises", "ValueError: no such task when choosing 2 of 4 groups"),
    ],
)
def test_what_it_does_wrong_is_named(function: str, found: str, hooks: str) -> None:
    with pytest.raises(UsageError) as raised:
        chosen(f"{hooks}:{function}", [group(0) for _ in range(4)], 2)
    message = str(raised.value)
    parts = ("spec.rollout.bufferFilter", f"{hooks}:{function}", found)
    assert all(part in message for part in parts)
