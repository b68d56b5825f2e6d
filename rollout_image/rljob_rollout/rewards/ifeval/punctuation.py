"""Punctuation that must not occur."""

from rljob_rollout.rewards.ifeval.check import Check


def no_comma(text: str) -> bool:
    """There is no comma."""
    return "," not in text


CHECKS: dict[str, Check] = {"punctuation:no_comma": no_comma}
