"""Filters of groups: the built-in one and custom ones."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from rljob.buffer.records import Sample
from rljob.errors import UsageError
from rljob_trainer.algorithms.filter import load_filter
from tests.support.a_sample import a_sample

HOOKS = """
def keeps_all(samples):
    assert isinstance(samples, list)
    return True

def wants_a_reward_above(samples):
    return any(sample.reward > 0.5 for sample in samples)

def says_a_number(samples):
    return 0.7

def of_slime(args, samples, **kwargs):
    from slime.rollout.filter_hub.base_types import DynamicFilterOutput
    from slime.utils.types import Sample

    rewards = [sample.get_reward_value(args) for sample in samples]
    assert all(sample.status is Sample.Status.COMPLETED for sample in samples)
    assert [sample.response_length for sample in samples] == [2, 2]
    keep = max(rewards) - min(rewards) > args.least_spread
    return DynamicFilterOutput(keep=keep, reason=None if keep else "alike")

def raises(samples):
    raise ValueError("no such bucket")

not_a_function = 3
"""


def group(rewards: Sequence[float]) -> list[Sample]:
    return [a_sample([3, 1], index=index, reward=each) for index, each in enumerate(rewards)]


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of the user's."""
    (tmp_path / "filter_hooks.py").write_text(HOOKS)
    (tmp_path / "filter_broken.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "filter_hooks"


def test_no_filter() -> None:
    assert load_filter(None, {}) is None


@pytest.mark.parametrize(
    ("rewards", "kept"),
    [
        ([1, 1, 1], False),
        ([0.1] * 10, False),
        # Two numbers in float64 and one in float32, in which advantages are computed.
        ([0.3, 0.1 + 0.2], False),
        ([0, 1], True),
        ([1], False),
    ],
)
def test_nonzero_std_wants_rewards_that_differ(rewards: list[float], kept: bool) -> None:
    chosen = load_filter("nonzero-std", {})
    assert chosen is not None
    assert chosen(group(rewards)) is kept


def test_a_function_of_the_users(hooks: str) -> None:
    chosen = load_filter(f"{hooks}:wants_a_reward_above", {})
    assert chosen is not None
    assert chosen(group([0, 1])) is True
    assert chosen(group([0, 0])) is False


def test_a_function_of_the_users_gets_a_list(hooks: str) -> None:
    chosen = load_filter(f"{hooks}:keeps_all", {})
    assert chosen is not None
    assert chosen(tuple(group([0, 1]))) is True


def test_a_filter_of_slime(hooks: str) -> None:
    arguments = {"reward_key": None, "least_spread": 0.5}
    chosen = load_filter(f"{hooks}:of_slime", arguments)
    assert chosen is not None
    assert chosen(group([0, 1])) is True
    assert chosen(group([0, 0.5])) is False


def test_an_argument_that_slime_does_not_have_is_named(hooks: str) -> None:
    chosen = load_filter(f"{hooks}:of_slime", {"reward_key": None})
    assert chosen is not None
    with pytest.raises(UsageError, match=r"args\.least_spread: the job has no value of this name"):
        chosen(group([0, 1]))


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("filter_broken:f", "No module named 'no_such_library'"),
        ("filter_hooks:no_such_function", "no_such_function"),
        ("filter_hooks:not_a_function", "int"),
    ],
)
def test_what_cannot_be_loaded_is_named(spec: str, found: str, hooks: str) -> None:
    with pytest.raises(UsageError) as raised:
        load_filter(spec, {})
    message = str(raised.value)
    assert all(part in message for part in ("spec.algorithm.filter", spec, found, "allowed"))


@pytest.mark.parametrize(
    ("function", "found"), [("says_a_number", "0.7, a float"), ("raises", "no such bucket")]
)
def test_what_it_does_wrong_is_named(function: str, found: str, hooks: str) -> None:
    chosen = load_filter(f"{hooks}:{function}", {})
    assert chosen is not None
    with pytest.raises(UsageError) as raised:
        chosen(group([0, 1]))
    message = str(raised.value)
    assert all(part in message for part in ("spec.algorithm.filter", f"{hooks}:{function}", found))
