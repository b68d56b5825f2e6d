"""Capitals and small letters."""

import re

from rljob_rollout.rewards.ifeval.check import Check, holds

_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")


def capital_word_frequency(text: str, *, capital_frequency: int, capital_relation: str) -> bool:
    """There are less or more words all in capitals."""
    found = sum(word.isupper() for word in _WORD.findall(text))
    return holds(found, capital_relation, capital_frequency)


def english_capital(text: str) -> bool:
    """All letters are capitals."""
    return text.isupper()


def english_lowercase(text: str) -> bool:
    """No letter is a capital."""
    return text.islower()


CHECKS: dict[str, Check] = {
    "change_case:capital_word_frequency": capital_word_frequency,
    "change_case:english_capital": english_capital,
    "change_case:english_lowercase": english_lowercase,
}
