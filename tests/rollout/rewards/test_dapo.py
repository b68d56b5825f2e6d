r"""DAPO's verifier; the expected values follow verl's `math_dapo` by hand.

Its comments give the shorthands: \fracab is \frac{a}{b}, \sqrta is \sqrt{a}.
"""

import pytest

from rljob.errors import UsageError
from rljob_rollout.rewards.dapo import dapo
from tests.rollout.rewards.samples import sample


@pytest.mark.parametrize(
    ("response", "label", "reward"),
    [
        ("So\nAnswer: 34", "34", 1.0),
        ("So\nAnswer: 34", 34, 1.0),
        ("So\nAnswer: 35", "34", -1.0),
        ("ANSWER :\n34", "34", 1.0),
        ("**Answer:** 34", "34", -1.0),  # the stars stay
        ("The final answer: 34 and more", "34", -1.0),
        ("Answer: 33\nAnswer: 34\nDone", "34", 1.0),
        ("Answer: 34\nAnswer: 33", "34", -1.0),
        ("The answer is 34", "34", -1.0),
        (r"\boxed{34}", "34", -1.0),
        (r"Answer: $\boxed{34}$", "34", 1.0),
        ("Answer: $x = 34$", "34", 1.0),
        ("Answer: we get $34$ at last", "34", 1.0),
        ("Answer: $34$, or $35$", "34", 1.0),
        ("Answer: 1,234", "1234", 1.0),
        ("Answer: 1{,}234", 1234, 1.0),
        ("Answer: 34.0", "34", -1.0),
        ("Answer: -34", "-34", 1.0),
        (r"Answer: \frac12", r"\frac{1}{2}", 1.0),
        (r"Answer: \frac{1}{2}", "0.5", -1.0),
        (r"Answer: \sqrt3", r"\sqrt{3}", 1.0),
        (r"Answer: 90^\circ", "90", 1.0),
        (r"Answer: 90^{\circ}", "90", 1.0),
        ("Answer: 12 cm", "12", 1.0),
        (r"Answer: 12\text{ cm}", "12", 1.0),
        (r"Answer: 12 \mbox{ cm}^2", "12", 1.0),
        (r"Answer: \$36", "36", 1.0),
        ("Answer: 36 dollars", "36", 1.0),
        (r"Answer: \text{Evelyn}", "Evelyn", 1.0),
        (r"Answer: \textbf{(C)}", "(C)", 1.0),
        (r"Answer: 2 \text{ and } 3", "2,3", 1.0),
        ("Answer: a square", "", 1.0),
        ("Answer: 34", ["33", 34], 1.0),
        ("Answer: 34", ["33", "35"], -1.0),
        ("", "34", -1.0),
        ("Answer:", "", -1.0),
    ],
)
def test_values(response, label, reward):
    assert dapo(sample(response, label))["reward"] == reward


def test_only_the_last_300_characters_are_read():
    assert dapo(sample("Answer: 34\n" + "x" * 289, "34"))["reward"] == 1.0
    assert dapo(sample("Answer: 34\n" + "x" * 290, "34"))["reward"] == -1.0


@pytest.mark.parametrize("label", [None, True, [], ["34", None]])
def test_a_label_of_another_type_is_the_users_mistake(label):
    with pytest.raises(UsageError, match=r"^train\.jsonl:3: reward dapo: the label is "):
        dapo(sample("Answer: 34", label))
