"""Exact match."""

from rljob_rollout.rewards.label import text_or_number_label
from rljob_rollout.rewards.sample import RewardInput


def exact(sample: RewardInput) -> float:
    """1 if the response is the label, blanks around both aside, else 0.

    A number as label is compared by value: 42 is matched by "42", " 42.0" and "4.2e1".
    """
    label = text_or_number_label(sample, "exact")
    response = sample.response.strip()
    if isinstance(label, str):
        return float(response == label.strip())
    try:
        return float(float(response) == label)
    except ValueError:
        return 0.0
