"""F1 of words, by hand: 2PR / (P + R) with the words' multiset overlap."""

import pytest

from rljob.errors import UsageError
from rljob_rollout.rewards.f1 import f1
from tests.rollout.rewards.samples import sample


@pytest.mark.parametrize(
    ("response", "label", "reward"),
    [
        ("The Denver Broncos!", "Denver Broncos", 1.0),  # case, articles, punctuation
        ("Denver", "Denver Broncos", 2 / 3),  # P 1, R 1/2
        ("the team of Denver", "Denver Broncos", 2 / 5),  # P 1/3, R 1/2
        ("Carolina", "Denver Broncos", 0.0),
        ("red red blue", "red blue blue", 2 / 3),  # overlap 2 of 3 and 3
        ("", "Denver", 0.0),
        ("the", "a", 1.0),  # nothing is left of either
        ("theatre", "atre", 0.0),  # an article is a word, not a beginning
        ("U.S.", "us", 1.0),
        ("well-known", "wellknown", 1.0),
        ("Denver", ["Carolina", "Denver Broncos"], 2 / 3),  # the better of 0 and 2/3
        ("Denver", ["Denver Broncos", "Denver"], 1.0),
    ],
)
def test_values(response, label, reward):
    assert f1(sample(response, label)) == pytest.approx(reward, abs=1e-12)


@pytest.mark.parametrize("label", [None, 42, [], ["Denver", 42]])
def test_a_label_of_another_type_is_the_users_mistake(label):
    allowed = "a string, or a list of strings"
    with pytest.raises(
        UsageError, match=rf"^train\.jsonl:3: reward f1: the label is .*: {allowed}$"
    ):
        f1(sample("Denver", label))
