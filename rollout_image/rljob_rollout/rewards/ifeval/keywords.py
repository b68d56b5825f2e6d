"""Words and letters that occur, or must not."""

import re

from rljob_rollout.rewards.ifeval.check import Check, holds


def _count(word: str, text: str) -> int:
    """How often a word occurs in any case, also as a part of others."""
    return len(re.findall(re.escape(word.strip()), text, re.IGNORECASE))


def existence(text: str, *, keywords: list[str]) -> bool:
    """All keywords occur."""
    return all(_count(word, text) for word in keywords)


def frequency(text: str, *, keyword: str, frequency: int, relation: str) -> bool:
    """A keyword occurs less or more often."""
    return holds(_count(keyword, text), relation, frequency)


def forbidden_words(text: str, *, forbidden_words: list[str]) -> bool:
    """None of the words occurs as a whole one."""
    return not any(
        re.search(rf"(?<!\w){re.escape(word.strip())}(?!\w)", text, re.IGNORECASE)
        for word in forbidden_words
    )


def letter_frequency(text: str, *, letter: str, let_frequency: int, let_relation: str) -> bool:
    """A letter, in either case, occurs less or more often."""
    return holds(text.lower().count(letter.lower()), let_relation, let_frequency)


CHECKS: dict[str, Check] = {
    "keywords:existence": existence,
    "keywords:frequency": frequency,
    "keywords:forbidden_words": forbidden_words,
    "keywords:letter_frequency": letter_frequency,
}
