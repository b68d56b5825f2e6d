"""The types that a reward wants of a label."""

from typing import Any

from rljob.errors import UsageError
from rljob_rollout.rewards.sample import RewardInput


def texts(sample: RewardInput, reward: str) -> list[str]:
    """The reference answers: the label, which must be a text or a list of texts.

    Raises:
        UsageError: it is neither.
    """
    answers = _listed(sample.label)
    if answers and all(isinstance(answer, str) for answer in answers):
        return answers
    raise wrong_label(sample, reward, "a text, or a list of texts")


def texts_or_numbers(sample: RewardInput, reward: str) -> list[str | int | float]:
    """The reference answers: the label, which must be a text, a number, or a list of these.

    Raises:
        UsageError: it is none of that.
    """
    answers = _listed(sample.label)
    if answers and all(
        isinstance(answer, str | int | float) and not isinstance(answer, bool) for answer in answers
    ):
        return answers
    raise wrong_label(sample, reward, "a text, a number, or a list of these")


def wrong_label(sample: RewardInput, reward: str, allowed: str) -> UsageError:
    """The error of a label that `reward` cannot judge by, with the place that it is from."""
    where = sample.metadata.get("source", f"prompt {sample.prompt!r}")
    return UsageError(
        f"{where}: reward {reward}: the label is {sample.label!r}, a "
        f"{type(sample.label).__name__}; allowed: {allowed}"
    )


def _listed(label: Any) -> list[Any]:
    return label if isinstance(label, list) else [label]
