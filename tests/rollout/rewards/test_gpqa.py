"""Multiple choice, by hand; the forms are those of the GPQA baselines and of simple-evals."""

import pytest

from rljob.errors import UsageError
from rljob_rollout.rewards.gpqa import gpqa
from tests.rollout.rewards.samples import sample

ENERGIES = ["2 J", "4 J", "8 J", "16 J"]
ALLOWED = (
    "a letter from A to J, the index of a choice from 0, or the text of one of the choices in the "
    "prompt's metadata"
)


def chosen(response, choices=None):
    """The letters for which a response is rewarded."""
    metadata = {"choices": choices} if choices else {}
    letters = "ABCDEFGHIJ"[: len(choices or range(10))]
    return "".join(
        letter
        for letter in letters
        if gpqa(sample(response, letter, metadata=metadata))["reward"] == 1.0
    )


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        # GPQA's baselines: "answer is (C)", "Answer: (C)", "answer: (C)", "answer (C)", "(C)".
        ("So the correct answer is (C).", "C"),
        ("Answer: (C)", "C"),
        ("answer: (C)", "C"),
        ("I choose answer (C)", "C"),
        ("It must be (C), by symmetry.", "C"),
        # simple-evals: "Answer: $LETTER", with or without dollar signs.
        ("Because of that,\nAnswer: C", "C"),
        ("Answer: $C$", "C"),
        ("ANSWER : C", "C"),
        ("**Answer:** C", "C"),
        ("**Answer**: **C**", "C"),
        ("Answer:\nC", "C"),
        ("Answer: C) 8 J", "C"),
        ("The final answer is: option C.", "C"),
        (r"The answer is $\text{C}$", "C"),
        (r"\boxed{C}", "C"),
        (r"\boxed{c}", "C"),
        (r"$\boxed{\text{C}}$", "C"),
        (r"\boxed{(C)}", "C"),
        (r"\fbox{ C. 8 J}", "C"),
        (r"Answer: \boxed{\mathrm{C}}", "C"),
        ("C", "C"),
        ("**C**", "C"),
        ("It follows that\nC. 8 J", "C"),
        ("C) 8 J", "C"),
    ],
)
def test_forms(response, letter):
    assert chosen(response) == letter


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("Answer: A. No, wait.\nAnswer: C", "C"),
        (r"\boxed{A}, or rather \boxed{C}", "C"),
        (r"Answer: A, or rather \boxed{C}", "C"),
        (r"\boxed{A}. Answer: C", "C"),
        ("(A) is wrong and so is (B); (C)", "C"),
        # A statement counts more than a letter in parentheses, and that more than a line.
        ("Answer: C, since (A) and (B) are wrong.", "C"),
        ("(C) is right\nA", "C"),
        # What was thought does not count.
        ("Answer: A</think>Answer: C", "C"),
        ("<think>Answer: A</think>I do not know", ""),
        ("<think>\nAnswer: C", "C"),
        (r"Answer: C. The energy is \boxed{8}", "C"),
    ],
)
def test_which_letter_counts(response, letter):
    assert chosen(response) == letter


@pytest.mark.parametrize(
    "response",
    [
        "",
        "8 J",
        "Answer: Carbon",
        "the answer is a force",
        "Answer: c",
        "A force acts",
        "it is C, of course",
        "Answer: C2",
        "Answer: K",  # there are ten choices at most
        r"\boxed{8}",
    ],
)
def test_nothing_is_chosen(response):
    assert chosen(response) == ""


def test_a_letter_without_a_choice_is_wrong():
    assert chosen("Answer: A\nAnswer: E", ENERGIES) == ""


@pytest.mark.parametrize("label", ["C", " c ", 2, "8 J", " 8 J "])
def test_labels(label):
    metadata = {"choices": ENERGIES}
    assert gpqa(sample("Answer: C", label, metadata=metadata))["reward"] == 1.0
    assert gpqa(sample("Answer: D", label, metadata=metadata))["reward"] == 0.0


def test_a_single_letter_is_a_letter_even_if_a_choice_has_that_text():
    metadata = {"choices": ["B", "A"]}
    assert gpqa(sample("Answer: A", "A", metadata=metadata))["reward"] == 1.0


@pytest.mark.parametrize(
    ("label", "choices"),
    [
        (None, None),
        (True, None),
        (2.0, None),
        ("2", None),
        (-1, None),
        (10, None),
        ("K", None),
        ("8 J", None),
        (["C"], None),
        ("E", ENERGIES),
        (4, ENERGIES),
        ("32 J", ENERGIES),
        ("8 J", ["8 J", "8 J"]),
    ],
)
def test_a_label_that_is_no_choice_is_the_users_mistake(label, choices):
    metadata = {"source": "train.jsonl:3", "choices": choices}
    with pytest.raises(UsageError) as raised:
        gpqa(sample("Answer: C", label, metadata=metadata))
    assert str(raised.value) == (
        f"train.jsonl:3: reward gpqa: the label is {label!r}, a {type(label).__name__}; "
        f"allowed: {ALLOWED}"
    )
