"""Which labels the rewards of the hub can judge by, as far as their type tells."""

import math
from typing import Any

from rljob.errors import UsageError

_TEXT_REWARDS = ("f1",)
_TEXT_OR_NUMBER_REWARDS = ("exact", "math")


def check_label(label: Any, reward: str, where: str) -> None:
    """Raises UsageError, beginning with `where`, for a label that `reward` can't judge by.

    A list holds reference answers, of which any will do. A reward of the user's own takes what it
    likes. Whether `math` can read a text as mathematics shows when it judges.
    """
    if reward in _TEXT_REWARDS:
        allowed = "a text, or a list of texts"
        holds = _all(label, _is_text)
    elif reward in _TEXT_OR_NUMBER_REWARDS:
        allowed = "a text, a number, or a list of these"
        holds = _all(label, lambda answer: _is_text(answer) or _is_number(answer))
    else:
        return
    if not holds:
        raise UsageError(
            f"{where}: reward {reward}: the label is {label!r:.200}, a {type(label).__name__}; "
            f"allowed: {allowed}"
        )


def _all(label: Any, holds: Any) -> bool:
    answers = label if isinstance(label, list) else [label]
    return bool(answers) and all(holds(answer) for answer in answers)


def _is_text(answer: Any) -> bool:
    return isinstance(answer, str)


def _is_number(answer: Any) -> bool:
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return False
    return isinstance(answer, int) or math.isfinite(answer)
