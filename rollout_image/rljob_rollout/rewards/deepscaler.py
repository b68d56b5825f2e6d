"""Mathematical equality of the answer that follows a model's thoughts."""

import re

from rljob_rollout.rewards.answer import boxed
from rljob_rollout.rewards.math import is_met, references
from rljob_rollout.rewards.sample import RewardInput

_TEXT = re.compile(r"\\(?:text|mathrm|textbf)\{(.*)\}")


def deepscaler(sample: RewardInput) -> float:
    """1 if the last box after the thoughts has the label's answer, else 0.

    Without a closed thought or a box after it the reward is 0. Equal are texts, ignoring case,
    spaces and an enclosing `\\text{}`, and what `math` considers equal.
    Source: the reward of DeepScaleR (Luo et al. 2025); its mathd and sympy are `math` here.
    """
    labels = references(sample, "deepscaler")
    _, closed, rest = sample.response.rpartition("</think>")
    answer = boxed(rest) if closed else None
    if not answer:
        return 0.0
    is_same = any(_words(answer) == _words(label.text) for label in labels)
    return float(is_same or is_met(labels, answer, is_whole=True))


def _words(text: str) -> str:
    return "".join(_TEXT.sub(r"\1", text).lower().split())
