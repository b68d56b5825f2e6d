"""Reads labels for the built-in rewards."""

from rljob import label
from rljob.errors import UsageError
from rljob_rollout.rewards.sample import RewardInput


def texts(sample: RewardInput, reward: str) -> list[str]:
    """The reference answers: the label, which must be a text or a list of texts.

    Raises:
        UsageError: it is neither.
    """
    answers = label.texts(sample.label)
    if answers is None:
        raise wrong_label(sample, reward, label.TEXTS)
    return answers


def texts_or_numbers(sample: RewardInput, reward: str) -> list[str | int | float]:
    """The reference answers: the label, which must be a text, a number, or a list of these.

    Raises:
        UsageError: it is none of these.
    """
    answers = label.texts_or_numbers(sample.label)
    if answers is None:
        raise wrong_label(sample, reward, label.TEXTS_OR_NUMBERS)
    return answers


def wrong_label(sample: RewardInput, reward: str, allowed: str) -> UsageError:
    """The error for a label that `reward` can't judge by, with where the label comes from."""
    where = sample.metadata.get("source", f"prompt {sample.prompt!r}")
    return UsageError(
        f"{where}: reward {reward}: the label is {sample.label!r}, a "
        f"{type(sample.label).__name__}; allowed: {allowed}"
    )
