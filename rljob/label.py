"""Reference answers in a prompt's label, in the forms that rewards accept.

A list holds alternative answers; matching one of them is enough. The trainer checks labels before
it sends them out, the rewards when they judge.
"""

import math
from typing import Any

TEXTS = "a string, or a list of strings"
TEXTS_OR_NUMBERS = "a string, a number, or a list of these"


def texts(label: Any) -> list[str] | None:
    """The answers of a label of the form TEXTS; None if it has another form."""
    answers = _listed(label)
    return answers if answers and all(isinstance(each, str) for each in answers) else None


def texts_or_numbers(label: Any) -> list[str | int | float] | None:
    """The answers of a label of the form TEXTS_OR_NUMBERS, all finite; None if it has another."""
    answers = _listed(label)
    return answers if answers and all(_is_text_or_number(each) for each in answers) else None


def _listed(label: Any) -> list[Any]:
    return label if isinstance(label, list) else [label]


def _is_text_or_number(answer: Any) -> bool:
    if isinstance(answer, float):
        return math.isfinite(answer)
    return isinstance(answer, str | int) and not isinstance(answer, bool)
