"""How many bad prompts a run tolerates."""

import pytest

from rljob.errors import UsageError
from rljob_trainer.data.bad_share import BadShare


def test_the_share_is_of_a_hundred_at_least() -> None:
    share = BadShare(0.05)
    share.drawn = 20
    for _ in range(5):
        share.add("a.jsonl:1: found invalid JSON")
    with pytest.raises(UsageError) as error:
        share.add("a.jsonl:9: found invalid JSON")
    assert str(error.value) == (
        "a.jsonl:9: found invalid JSON; it is bad prompt number 6 of 20 drawn, allowed 5 "
        "(spec.data.maxBadShare: 0.05)"
    )


def test_it_grows_with_what_is_drawn_and_goes_on_from_a_checkpoint() -> None:
    first, second = BadShare(0.01), BadShare(0.01)
    first.drawn = 1000
    for _ in range(10):
        first.add("bad")
    second.load(first.save())
    with pytest.raises(UsageError, match="bad prompt number 11 of 1000 drawn, allowed 10"):
        second.add("bad")


def test_none_is_allowed_with_zero() -> None:
    with pytest.raises(UsageError, match=r"^bad \(spec.data.maxBadShare is 0\)$"):
        BadShare(0).add("bad")
