"""Exact match."""

import re
from decimal import Decimal

from rljob_rollout.rewards.label import texts_or_numbers
from rljob_rollout.rewards.sample import RewardInput

# Numbers as JSON writes them, and with a plus sign or leading zeros; not Python's 4_2, nan, inf.
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,4})?", re.ASCII)


def exact(sample: RewardInput) -> float:
    """1 if the response equals the label, ignoring surrounding white space, else 0.

    A number as label is compared by value, a whole number of any size exactly: 42 is matched by
    "42", " 42.0" and "4.2e1". From a list of reference answers, any may match.
    """
    response = sample.response.strip()
    return float(any(_matches(response, label) for label in texts_or_numbers(sample, "exact")))


def _matches(response: str, label: str | int | float) -> bool:
    if isinstance(label, str):
        return response == label.strip()
    if _NUMBER.fullmatch(response) is None:
        return False
    # Decimal keeps exactly what is written; repr gives a float label as JSON wrote it.
    return Decimal(response) == (Decimal(repr(label)) if isinstance(label, float) else label)
