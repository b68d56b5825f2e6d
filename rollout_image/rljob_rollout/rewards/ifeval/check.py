"""Checks of an instruction."""

from collections.abc import Callable

from rljob.instruction import LESS

Check = Callable[..., bool]
"""Takes the response, and the instruction's arguments by name: whether it is followed."""


def holds(found: int, relation: str, wanted: int) -> bool:
    """Whether a count is "less than" or "at least" another."""
    return found < wanted if relation == LESS else found >= wanted
