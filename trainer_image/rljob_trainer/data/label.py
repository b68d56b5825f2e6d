"""Checks whether the type of a label suits the job's reward."""

from collections.abc import Callable
from typing import Any

from rljob.errors import UsageError
from rljob.instruction import WrongInstructionError, instructions
from rljob.label import TESTS, TEXTS, TEXTS_OR_NUMBERS, tests, texts, texts_or_numbers

# The built-in rewards that read the label; a custom reward takes any label.
_READERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "f1": (texts, TEXTS),
    "exact": (texts_or_numbers, TEXTS_OR_NUMBERS),
    "math": (texts_or_numbers, TEXTS_OR_NUMBERS),
    "dapo": (texts_or_numbers, TEXTS_OR_NUMBERS),
    "deepscaler": (texts_or_numbers, TEXTS_OR_NUMBERS),
    "code": (tests, TESTS),
}


def check_label(label: Any, reward: str, where: str) -> None:
    """Raises UsageError, beginning with `where`, for a label that `reward` can't judge by.

    Whether `math` can parse a text as mathematics only shows when it judges.
    """
    if reward == "ifeval":
        _check_instructions(label, where)
    if reward not in _READERS:
        return
    read, allowed = _READERS[reward]
    if read(label) is None:
        raise UsageError(
            f"{where}: reward {reward}: the label is {label!r:.200}, a {type(label).__name__}; "
            f"allowed: {allowed}"
        )


def _check_instructions(label: Any, where: str) -> None:
    try:
        instructions(label)
    except WrongInstructionError as error:
        raise UsageError(f"{where}: reward ifeval: the label is {label!r:.200}: {error}") from None
