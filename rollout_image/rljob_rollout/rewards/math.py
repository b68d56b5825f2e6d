"""Mathematical equality."""

from math_verify import parse, verify

from rljob_rollout.rewards.label import text_or_number_label
from rljob_rollout.rewards.sample import RewardInput


def math(sample: RewardInput) -> float:
    r"""1 if the response's final answer equals the label, else 0, as math-verify judges.

    The label is LaTeX, with or without `$` or `\boxed{}`, or a number.
    """
    label = str(text_or_number_label(sample, "math"))
    if "$" not in label and "\\boxed" not in label:
        label = f"${label}$"
    # math-verify's own time limits work by signals, which only a main thread gets; the caller
    # limits the time of every reward.
    gold = parse(label, parsing_timeout=None)
    answer = parse(sample.response, parsing_timeout=None)
    return float(verify(gold, answer, timeout_seconds=None))
