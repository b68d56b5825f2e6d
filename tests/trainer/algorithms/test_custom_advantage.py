"""Advantages by a function of the user's."""

from pathlib import Path

import pytest
import torch

from rljob.api.algorithm import AlgorithmSpec
from rljob.errors import UsageError
from rljob_trainer.algorithms.custom_advantage import load_custom_advantage

HOOKS = """
import torch

def above_zero(rewards, groups, masks):
    assert groups.tolist() == [0, 0] and [len(mask) for mask in masks] == [1, 3]
    rewards -= 1  # a copy
    return rewards

def by_token(rewards, groups, masks):
    return [reward * torch.arange(1, len(mask) + 1) for reward, mask in zip(rewards, masks)]

def too_few(rewards, groups, masks):
    return rewards[:1]

def numbers(rewards, groups, masks):
    return [1.0, 2.0]

def wrong_tokens(rewards, groups, masks):
    return [torch.zeros(2), torch.zeros(3)]

def nothing(rewards, groups, masks):
    return None

def not_finite(rewards, groups, masks):
    return rewards / 0

def not_finite_where_it_does_not_count(rewards, groups, masks):
    return [torch.ones(1), torch.tensor([1.0, float("nan"), 2.0])]

def raises(rewards, groups, masks):
    raise ValueError("no such table")

not_a_function = 3
"""
REWARDS = torch.tensor([3.0, 1.0])
GROUPS = torch.tensor([0, 0])
MASKS = [torch.ones(1), torch.tensor([1.0, 0.0, 1.0])]


@pytest.fixture(autouse=True)
def _hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "advantage_hooks.py").write_text(HOOKS)
    monkeypatch.syspath_prepend(tmp_path)


def of(function: str, field: str = "advantage", **spec: str) -> list[list[float]]:
    made = load_custom_advantage(
        AlgorithmSpec.model_validate({field: f"advantage_hooks:{function}", **spec})
    )
    assert made is not None
    return [each.tolist() for each in made(REWARDS, GROUPS, MASKS)]


@pytest.mark.parametrize("field", ["advantage", "estimator"])
def test_one_value_per_sample(field: str) -> None:
    assert of("above_zero", field) == [[2], [0, 0, 0]]
    assert REWARDS.tolist() == [3, 1]


def test_one_value_per_token() -> None:
    assert of("by_token") == [[3], [1, 0, 3]]


def test_a_token_that_does_not_count_may_have_any_value() -> None:
    assert of("not_finite_where_it_does_not_count") == [[1], [1, 0, 2]]


def test_a_built_in_advantage_is_none_of_the_users() -> None:
    assert load_custom_advantage(AlgorithmSpec(estimator="gspo", advantage="rloo")) is None


@pytest.mark.parametrize("field", ["advantage", "estimator"])
@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("advantage_hooks:no_such_function", "no_such_function"),
        ("advantage_hooks:not_a_function", "int"),
    ],
)
def test_what_cannot_be_loaded_is_named(spec: str, found: str, field: str) -> None:
    with pytest.raises(UsageError) as raised:
        load_custom_advantage(AlgorithmSpec.model_validate({field: spec}))
    message = str(raised.value)
    assert all(part in message for part in (f"spec.algorithm.{field}", spec, found, "allowed"))


@pytest.mark.parametrize("field", ["advantage", "estimator"])
@pytest.mark.parametrize(
    ("function", "found"),
    [
        ("too_few", "a tensor of shape [1]; allowed: a tensor of 2 numbers, one per sample"),
        ("numbers", "a list of 2: [1.0, 2.0]; allowed"),
        ("wrong_tokens", "a list of 2: [[2], [3]]; allowed"),
        ("nothing", "None, a NoneType; allowed"),
        ("not_finite", "returned [inf] for sample 0; allowed: finite numbers"),
        ("raises", "raised ValueError: no such table on a batch of 2 samples"),
    ],
)
def test_what_it_does_wrong_is_named(function: str, found: str, field: str) -> None:
    with pytest.raises(UsageError) as raised:
        of(function, field)
    message = str(raised.value)
    assert all(
        part in message for part in (f"spec.algorithm.{field}: advantage_hooks:{function}", found)
    )


def test_the_ratio_of_a_response_needs_one_value_for_it() -> None:
    assert of("above_zero", loss="gspo") == [[2], [0, 0, 0]]
    with pytest.raises(
        UsageError, match=r"a list of 2: .*allowed: a tensor of 2 numbers"
    ) as raised:
        of("by_token", loss="gspo")
    assert "per token" not in str(raised.value)
