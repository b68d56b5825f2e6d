"""Mathematical equality."""

import logging
from decimal import Decimal

from math_verify import parse, verify

from rljob_rollout.rewards.label import text_or_number_label, wrong_label
from rljob_rollout.rewards.sample import RewardInput

# Its own limits of time work by signals, which only a main thread gets; the caller limits the
# time of every reward. It warns of that.
for _name in ("math_verify.parser", "math_verify.grader"):
    logging.getLogger(_name).setLevel(logging.ERROR)


def math(sample: RewardInput) -> float:
    r"""1 if the response's final answer equals the label, else 0, as math-verify judges.

    The label is a number or LaTeX, with or without `$` or `\boxed{}`: the final answer alone.
    """
    label = text_or_number_label(sample, "math")
    if not isinstance(label, str):
        label = f"{Decimal(repr(label)):f}"  # 1e-07 would be read as Euler's number times one
    if "$" not in label and "\\boxed" not in label:
        label = f"${label}$"
    gold = parse(label, parsing_timeout=None)
    if not gold:
        # Nothing equals it: every response would get 0, and nobody would know why.
        raise wrong_label(sample, "math", "a mathematical expression")
    answer = parse(sample.response, parsing_timeout=None)
    return float(verify(gold, answer, timeout_seconds=None))
