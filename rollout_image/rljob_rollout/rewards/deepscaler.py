"""Mathematical equality of the answer that follows a model's thoughts."""

import re
from typing import Any

from rljob_rollout.rewards.answer import boxed
from rljob_rollout.rewards.math import Answer, is_met, references
from rljob_rollout.rewards.sample import RewardInput

_TEXT = re.compile(r"\\(?:text|mathrm|textbf)\{(.*)\}")


def deepscaler(sample: RewardInput) -> dict[str, Any]:
    """1 if the last box after the thoughts has the label's answer, else 0; and the box.

    Without a closed thought or a box after it the reward is 0. Equal are texts, ignoring case,
    spaces and an enclosing `\\text{}`, and what `math` considers equal.
    Source: the reward of DeepScaleR (Luo et al. 2025); its mathd and sympy are `math` here.
    """
    labels = references(sample, "deepscaler")
    _, closed, rest = sample.response.rpartition("</think>")
    answer = boxed(rest) if closed else None
    if not answer:
        return {"reward": 0.0, "answer": None}
    said = _words(answer)
    is_same = any(said == _words(label.text) for label in labels)
    is_right = is_same or is_met(labels, Answer(answer, is_whole=True))
    return {"reward": float(is_right), "answer": said or None}


def _words(text: str) -> str:
    return "".join(_TEXT.sub(r"\1", text).lower().split())
