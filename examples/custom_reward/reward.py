"""Two rewards of one's own: of a response, and of all responses to a prompt."""

from collections.abc import Sequence
from typing import Protocol


class Answer(Protocol):
    """The part of a reward function's input that these use."""

    response: str
    label: str


def positions(answer: Answer) -> dict[str, float]:
    """The share of positions with the right digit; what is said besides is kept with the sample."""
    right = sum(a == b for a, b in zip(answer.response, answer.label, strict=False))
    return {"reward": right / len(answer.label), "right": right}


async def best(answers: Sequence[Answer]) -> list[float]:
    """1 for the responses that are as good as the best one to the same prompt, else 0."""
    scores = [positions(answer)["reward"] for answer in answers]
    return [float(score == max(scores)) for score in scores]
