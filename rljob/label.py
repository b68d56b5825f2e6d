"""Reference answers in a prompt's label, in the forms that rewards accept.

A list holds alternative answers; matching one of them is enough. The trainer checks labels before
it sends them out, the rewards when they judge.
"""

import math
from string import ascii_uppercase
from typing import Any, TypedDict

TEXTS = "a string, or a list of strings"
TEXTS_OR_NUMBERS = "a string, a number, or a list of these"
CHOICE = (
    "a letter from A to J, the index of a choice from 0, or the text of one of the choices in the "
    "prompt's metadata"
)
MOST_CHOICES = 10  # MMLU-Pro's
TESTS = (
    'a list of tests, each {"input": string, "output": string} for standard input and output, or a '
    "string of Python statements"
)


def texts(label: Any) -> list[str] | None:
    """The answers of a label of the form TEXTS; None if it has another form."""
    answers = _listed(label)
    return answers if answers and all(isinstance(each, str) for each in answers) else None


def texts_or_numbers(label: Any) -> list[str | int | float] | None:
    """The answers of a label of the form TEXTS_OR_NUMBERS, all finite; None if it has another."""
    answers = _listed(label)
    return answers if answers and all(_is_text_or_number(each) for each in answers) else None


def choice(label: Any, choices: Any) -> int | None:
    """The index of the choice that a label of the form CHOICE means; None if it means none.

    Args:
        label: a single letter is always a letter, even if a choice's text is that letter.
        choices: the metadata's `choices`, the texts in the order of their letters, or None.
    """
    texts_ = choices if isinstance(choices, list) else []
    index: Any = label
    if isinstance(label, str):
        text = label.strip()
        if len(text) == 1 and text.isascii() and text.isalpha():
            index = ascii_uppercase.index(text.upper())
        else:
            matching = [n for n, each in enumerate(texts_) if str(each).strip() == text]
            # Two choices with one text: neither is the right one.
            index = matching[0] if len(matching) == 1 else None
    if isinstance(index, bool) or not isinstance(index, int):
        return None
    return index if 0 <= index < min(len(texts_) or MOST_CHOICES, MOST_CHOICES) else None


class Dialogue(TypedDict):
    """What a program reads from its standard input, and what it must write."""

    input: str
    output: str


Test = Dialogue | str


def tests(label: Any) -> list[Test] | None:
    """The tests of a label of the form TESTS; None if it has another form."""
    return label if isinstance(label, list) and label and all(map(_is_test, label)) else None


def _is_test(test: Any) -> bool:
    if isinstance(test, dict):
        return test.keys() == {"input", "output"} and all(isinstance(v, str) for v in test.values())
    return isinstance(test, str)


def _listed(label: Any) -> list[Any]:
    return label if isinstance(label, list) else [label]


def _is_text_or_number(answer: Any) -> bool:
    if isinstance(answer, float):
        return math.isfinite(answer)
    return isinstance(answer, str | int) and not isinstance(answer, bool)
