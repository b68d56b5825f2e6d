"""The types that a reward wants of a label."""

from rljob.errors import UsageError
from rljob_rollout.rewards.sample import RewardInput


def text_label(sample: RewardInput, reward: str) -> str:
    """The label, which must be a text.

    Raises:
        UsageError: it is none.
    """
    if isinstance(sample.label, str):
        return sample.label
    raise wrong_label(sample, reward, "a text")


def text_or_number_label(sample: RewardInput, reward: str) -> str | float:
    """The label, which must be a text or a number.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(sample.label, str | int | float) and not isinstance(sample.label, bool):
        return sample.label
    raise wrong_label(sample, reward, "a text or a number")


def wrong_label(sample: RewardInput, reward: str, allowed: str) -> UsageError:
    """The error of a label that `reward` cannot judge by, with the place that it is from."""
    where = sample.metadata.get("source", f"prompt {sample.prompt!r}")
    return UsageError(
        f"{where}: reward {reward}: the label is {sample.label!r}, a "
        f"{type(sample.label).__name__}; allowed: {allowed}"
    )
