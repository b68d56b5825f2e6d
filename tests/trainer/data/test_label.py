"""Labels that the built-in rewards can use."""

from typing import Any

import pytest

from rljob.errors import UsageError
from rljob_trainer.data.label import check_label

ANYTHING = [None, True, {}, [], [1, None], float("nan"), "x", 3, 10**400, ["x", 3], ["x"]]
TEXT_OR_NUMBER = ["x", 3, 10**400, ["x", 3], ["x"]]


@pytest.mark.parametrize(
    ("reward", "good"),
    [
        ("exact", TEXT_OR_NUMBER),
        ("math", TEXT_OR_NUMBER),
        ("dapo", TEXT_OR_NUMBER),
        ("deepscaler", TEXT_OR_NUMBER),
        ("code", [["x"]]),
        ("ifeval", []),
        ("f1", ["x", ["x"]]),
        ("random", ANYTHING),
        ("my_module:reward", ANYTHING),
    ],
)
def test_which_labels_are_good(reward: str, good: list[Any]) -> None:
    for label in ANYTHING:
        if any(label is each for each in good) or label in good:
            check_label(label, reward, "a.jsonl:1")
        else:
            with pytest.raises(UsageError, match=rf"^a\.jsonl:1: reward {reward}: the label is"):
                check_label(label, reward, "a.jsonl:1")
