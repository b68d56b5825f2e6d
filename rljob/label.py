"""The reference answers in a prompt's label, by what a reward can judge by.

A list holds several answers, of which any will do. The trainer checks labels before it sends them
out, the rewards when they judge.
"""

import math
from typing import Any

TEXTS = "a text, or a list of texts"
TEXTS_OR_NUMBERS = "a text, a number, or a list of these"


def texts(label: Any) -> list[str] | None:
    """The answers of a label that is TEXTS; None: it is not."""
    answers = _listed(label)
    return answers if answers and all(isinstance(each, str) for each in answers) else None


def texts_or_numbers(label: Any) -> list[str | int | float] | None:
    """The answers of a label that is TEXTS_OR_NUMBERS, all finite; None: it is not."""
    answers = _listed(label)
    return answers if answers and all(_is_text_or_number(each) for each in answers) else None


def _listed(label: Any) -> list[Any]:
    return label if isinstance(label, list) else [label]


def _is_text_or_number(answer: Any) -> bool:
    if isinstance(answer, float):
        return math.isfinite(answer)
    return isinstance(answer, str | int) and not isinstance(answer, bool)
