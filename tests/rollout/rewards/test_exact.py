"""Exact match, by hand."""

import pytest

from rljob.errors import UsageError
from rljob_rollout.rewards.exact import exact
from tests.rollout.rewards.samples import sample


@pytest.mark.parametrize(
    ("response", "label", "reward"),
    [
        ("0349", "0349", 1.0),
        (" 0349\n", "0349", 1.0),
        ("0349", " 0349 ", 1.0),
        ("349", "0349", 0.0),
        ("0349 ", "0394", 0.0),
        ("Yes", "yes", 0.0),
        ("a  b", "a b", 0.0),
        ("", "", 1.0),
        ("42", 42, 1.0),
        (" 42.0", 42, 1.0),
        ("42", 42.5, 0.0),
        ("forty-two", 42, 0.0),
    ],
)
def test_values(response, label, reward):
    assert exact(sample(response, label)) == reward


@pytest.mark.parametrize("label", [None, True, ["a"], {"a": 1}])
def test_a_label_of_another_type_is_the_users_mistake(label):
    with pytest.raises(UsageError) as raised:
        exact(sample("a", label))
    assert str(raised.value) == (
        f"train.jsonl:3: reward exact: the label is {label!r}, a {type(label).__name__}; "
        "allowed: a text or a number"
    )


def test_without_a_source_the_prompt_tells_the_place():
    with pytest.raises(UsageError, match=r"^prompt '4093>': reward exact: "):
        exact(sample("a", None, metadata={}))
