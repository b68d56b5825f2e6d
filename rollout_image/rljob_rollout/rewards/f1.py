"""Overlap of words."""

import re
import string
from collections import Counter

from rljob_rollout.rewards.label import texts
from rljob_rollout.rewards.sample import RewardInput

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def f1(sample: RewardInput) -> float:
    """F1 of the response's words against the label's, as SQuAD 2.0 defines it.

    Case, punctuation and articles are ignored. Two texts without any remaining word match fully.
    From a list of reference answers, the best match counts.
    Source: Rajpurkar et al. 2018, evaluate-v2.0.py (normalize_answer, compute_f1).
    """
    given = _words(sample.response)
    return max(_f1(given, _words(text)) for text in texts(sample, "f1"))


def _f1(given: list[str], wanted: list[str]) -> float:
    if not wanted or not given:
        return float(wanted == given)
    common = (Counter(wanted) & Counter(given)).total()
    if common == 0:
        return 0.0
    precision, recall = common / len(given), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()
