"""Rewards of the sorting task: plain functions, named in job.yaml."""

from typing import Protocol


class Answer(Protocol):
    """The part of a reward function's input that these two use."""

    response: str
    label: str


def right_positions(answer: Answer) -> float:
    """The share of positions with the right digit: 0349 against 0394 is 0.5."""
    right = sum(a == b for a, b in zip(answer.response, answer.label, strict=False))
    return right / len(answer.label)


def all_right(answer: Answer) -> float:
    """1 if every digit is right, else 0."""
    return float(answer.response == answer.label)
