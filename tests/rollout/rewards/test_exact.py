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
        ("4.2e1", 42, 1.0),
        ("+42", 42, 1.0),
        ("4_2", 42, 0.0),
        ("\u0664\u0662", 42, 0.0),  # Arabic digits, which Python reads as 42
        ("0x2a", 42, 0.0),
        ("nan", 42, 0.0),
        ("inf", 42, 0.0),
        ("0.1", 0.1, 1.0),
        ("1e-1", 0.1, 1.0),
        # 2^53 + 1, which no 64-bit float is.
        ("9007199254740993", 9007199254740993, 1.0),
        ("9007199254740992", 9007199254740993, 0.0),
        ("9007199254740993.0", 9007199254740993, 1.0),
        ("1" + "0" * 400, 10**400, 1.0),
        ("1e400", 10**400, 1.0),
        ("1" + "0" * 399 + "1", 10**400, 0.0),
        ("b", ["a", "b"], 1.0),
        ("42.0", ["a", 42], 1.0),
        ("c", ["a", "b"], 0.0),
    ],
)
def test_values(response, label, reward):
    assert exact(sample(response, label)) == reward


@pytest.mark.parametrize("label", [None, True, [], ["a", None], {"a": 1}])
def test_a_label_of_another_type_is_the_users_mistake(label):
    with pytest.raises(UsageError) as raised:
        exact(sample("a", label))
    assert str(raised.value) == (
        f"train.jsonl:3: reward exact: the label is {label!r}, a {type(label).__name__}; "
        "allowed: a string, a number, or a list of these"
    )


def test_without_a_source_the_prompt_tells_the_place():
    with pytest.raises(UsageError, match=r"^prompt '4093>': reward exact: "):
        exact(sample("a", None, metadata={}))


def test_special_tokens_are_characters_like_others():
    answer = sample("1<|user|>0<|user|>", "10", plain_response="10")
    assert exact(answer) == 0.0
