"""Buffer filters: the built-in ones and custom ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rljob.errors import UsageError
from rljob_trainer.algorithms.buffer_filter import load_buffer_filter
from rljob_trainer.algorithms.ready_group import ReadyGroup, ReadySample
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

# Written as slime's own, `pop_first` and `pop_oldest` of its slime/rollout/data_source.py.
SLIME_HOOKS = """
from slime.utils.types import Sample

def pops_the_first(args, rollout_id, buffer, num_samples):
    chosen = buffer[:num_samples]
    del buffer[:num_samples]
    return chosen

def pops_the_oldest(args, rollout_id, buffer, num_samples):
    buffer.sort(key=lambda group: min(int(v) for each in group for v in each.weight_versions))
    return pops_the_first(args, rollout_id, buffer, num_samples)

def best(args, rollout_id, buffer, num_samples):
    assert rollout_id is None
    for number, group in enumerate(buffer):
        assert isinstance(group, list)
        assert all(isinstance(each, Sample) for each in group)
        assert [each.index for each in group] == list(range(len(group)))
        assert {each.group_index for each in group} == {number}
        assert all(each.status is Sample.Status.COMPLETED for each in group)
        assert all((each.prompt, each.label) == ("4>", "4") for each in group)
        assert all((each.response, each.response_length) == ("44", 4) for each in group)
        assert all(each.metadata == {"task": "sort", "told": 1} for each in group)

    def mean(group):
        return sum(each.get_reward_value(args) for each in group) / len(group)

    return sorted(buffer, key=mean)[-args.most:]

def changes_what_it_takes(args, rollout_id, buffer, num_samples):
    chosen = pops_the_first(args, rollout_id, buffer, num_samples)
    for group in chosen:
        group.pop()
    return chosen

def too_few(args, rollout_id, buffer, num_samples):
    return buffer[1:num_samples]

def the_same_twice(args, rollout_id, buffer, num_samples):
    return [buffer[0]] * num_samples

def copies(args, rollout_id, buffer, num_samples):
    return [list(group) for group in buffer[:num_samples]]

def nothing(args, rollout_id, buffer, num_samples):
    del buffer[:num_samples]

def raises(args, rollout_id, buffer, num_samples):
    return args.no_such_value
"""


def group(*rewards: float, uses: int = 0, **metadata: object) -> ReadyGroup:
    samples = (ReadySample("", reward, 4, "completed", (), {}) for reward in rewards)
    return ReadyGroup("", "", metadata, tuple(samples), (3,), 1, uses)


def sorted_by(*rewards: float, version: int = 3) -> ReadyGroup:
    """A group with all that slime's Samples tell."""
    samples = (
        ReadySample("44", reward, 4, "completed", (version, version + 1), {"told": 1})
        for reward in rewards
    )
    return ReadyGroup("4>", "4", {"task": "sort"}, tuple(samples), (version,), 1, 0)


def chosen(
    name: str,
    groups: Sequence[ReadyGroup],
    count: int,
    arguments: Mapping[str, Any] | None = None,
) -> list[int]:
    choose = load_buffer_filter(name, arguments or {})
    assert choose is not None
    return list(choose(groups, count))


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of the user's."""
    (tmp_path / "buffer_hooks.py").write_text(HOOKS)
    (tmp_path / "slime_buffer_hooks.py").write_text(SLIME_HOOKS)
    monkeypatch.syspath_prepend(tmp_path)
    return "buffer_hooks"


def test_rewards_that_float32_cannot_tell_apart_have_no_deviation() -> None:
    groups = [group(0.3, 0.1 + 0.2, uses=1), group(0.3, 0.3)]
    assert chosen("prioritized", groups, 1) == [1]  # of equals the less used


def test_no_filter() -> None:
    assert load_buffer_filter(None, {}) is None


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
        load_buffer_filter(spec, {})
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


def test_filters_of_slime(hooks: str) -> None:
    """Groups are chosen as themselves: the second and the fourth are alike."""
    groups = [sorted_by(1, 0), sorted_by(0, 0), sorted_by(1, 1, version=2), sorted_by(0, 0)]
    slime = f"slime_{hooks}"
    assert chosen(f"{slime}:pops_the_first", groups, 2) == [0, 1]
    assert chosen(f"{slime}:pops_the_oldest", groups, 2) == [2, 0]
    assert chosen(f"{slime}:pops_the_oldest", groups, 4) == [2, 0, 1, 3]
    assert chosen(f"{slime}:changes_what_it_takes", groups, 2) == [0, 1]
    assert [len(each.samples) for each in groups] == [2, 2, 2, 2]
    arguments = {"most": 2, "reward_key": None}
    assert chosen(f"{slime}:best", groups, 2, arguments) == [0, 2]


@pytest.mark.parametrize(
    ("function", "found"),
    [
        ("too_few", "returned 1 groups, of which 0 were not in the buffer and 0 were returned be"),
        ("the_same_twice", "returned 2 groups, of which 0 were not in the buffer and 1 were retu"),
        ("copies", "returned 2 groups, of which 2 were not in the buffer and 0 were returned bef"),
        ("nothing", "returned None; allowed: 2 different groups of the buffer, as the lists that"),
        ("raises", "raised AttributeError: args.no_such_value: the job has no value of this name"),
    ],
)
def test_what_a_filter_of_slime_does_wrong_is_named(function: str, found: str, hooks: str) -> None:
    with pytest.raises(UsageError) as raised:
        chosen(f"slime_{hooks}:{function}", [group(0) for _ in range(4)], 2)
    assert f"spec.rollout.bufferFilter: slime_{hooks}:{function} {found}" in str(raised.value)
