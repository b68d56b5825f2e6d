"""Mathematical equality."""

import logging
import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from math_verify import parse, verify

from rljob_rollout.rewards.answer import boxed, stated
from rljob_rollout.rewards.label import texts_or_numbers, wrong_label
from rljob_rollout.rewards.numeral import last_numeral, numeral
from rljob_rollout.rewards.sample import RewardInput

# It warns that its time limits are off. They use signals, which are delayed while C code runs; the
# process that judges is killed instead.
for _name in ("math_verify.parser", "math_verify.grader"):
    logging.getLogger(_name).setLevel(logging.ERROR)

# math-verify's defaults: decimal places compared, of decimal numbers and of other numbers.
_DIGITS = 6
_PRECISION = 15
_EMPTY = re.compile(r"\\(?:text|mathrm|textbf)\{\s*\}")
_NUMBER = re.compile(r"\\(?:text|mathrm|textbf)\{\s*(-?[\d.,]*\d)\s*\}")
_EXPONENT = re.compile(r"[-+]?\d+(?:\.\d+)?[eE][-+]?\d{1,3}")


def math(sample: RewardInput, *, strict: bool = False) -> dict[str, Any]:
    r"""1 if the response's final answer equals the label, else 0, as math-verify judges.

    With it the answer: the text that was compared, without spaces; None if there is none.

    The last box of a response counts. A decimal number equals the label if both round to the same
    six decimal places, counted from the first nonzero digit if the label is smaller than 0.1. A
    number in a base other than ten equals only the same number in the same base.

    The label is a number or LaTeX, with or without `$` or `\boxed{}`, and contains only the final
    answer; or it is a list of these, any of which may match.

    Args:
        sample: the sample to judge.
        strict: an answer counts only in a box or after "answer is", "answer:" or "####", and not
            in a truncated response.
    """
    labels = references(sample, "math")
    if strict and sample.status == "truncated":
        return {"reward": 0.0}
    text, is_whole = boxed(sample.response), True
    if text is None:
        text, is_whole = stated(sample.response) if strict else sample.response, False
    if text is None:
        return {"reward": 0.0, "answer": None}
    answer = Answer(text, is_whole=is_whole)
    return {"reward": float(is_met(labels, answer)), "answer": "".join(answer.read.split()) or None}


def references(sample: RewardInput, reward: str) -> list["Reference"]:
    """The reference answers of a sample that `reward` judges.

    Raises:
        UsageError: the label is of another form than `math` documents.
    """
    return [Reference(label, sample, reward) for label in texts_or_numbers(sample, reward)]


def is_met(labels: Iterable["Reference"], answer: "Answer") -> bool:
    """Whether an answer equals one of the labels."""
    return any(label.is_met_by(answer) for label in labels)


class Answer:
    """The answer in a text, or the whole text as an answer; `read` is what it says."""

    def __init__(self, text: str, *, is_whole: bool) -> None:
        if is_whole:
            text = _plain(text)
            self.parsed = _parse(text)
            self.last_numeral = numeral(text)
        else:
            text = text.replace("\\$", "")
            self.parsed = parse(text, parsing_timeout=None)
            self.last_numeral = last_numeral(text)
        self.read = text if is_whole else next((p for p in self.parsed if isinstance(p, str)), "")
        self.is_based = numeral(self.read) is not None  # math-verify drops the base


class Reference:
    """A reference answer; `text` is what it says, without a box."""

    def __init__(self, label: str | float, sample: RewardInput, reward: str) -> None:
        # 1e-07 would be parsed as Euler's number times one.
        text = label if isinstance(label, str) else f"{Decimal(repr(label)):f}"
        box = boxed(text)
        self.text = text = _plain(text if box is None else box)
        self._numeral = numeral(text)
        self._parsed = parse(text, parsing_timeout=None) if "$" in text else _parse(text)
        if not self._parsed:
            # Nothing would equal it: every response would get 0 without any visible reason.
            raise wrong_label(sample, reward, "a mathematical expression")
        self._zeros = _leading_zeros(self._parsed[0])

    def is_met_by(self, answer: Answer) -> bool:
        """Whether an answer equals it."""
        if self._numeral is not None:
            return self._numeral == answer.last_numeral
        if answer.is_based:
            return False
        return bool(
            verify(
                self._parsed,
                answer.parsed,
                float_rounding=_DIGITS + self._zeros,
                numeric_precision=_PRECISION + self._zeros,
                timeout_seconds=None,
            )
        )


def _plain(text: str) -> str:
    """Removes currency signs, \\text around numbers, and exponents after an e."""
    text = _NUMBER.sub(r"\1", _EMPTY.sub("", text.replace("\\$", ""))).strip()
    return f"{Decimal(text):f}" if _EXPONENT.fullmatch(text) else text


def _parse(text: str) -> list[Any]:
    parsed: list[Any] = parse(f"\\boxed{{{text}}}", parsing_timeout=None)
    return parsed


def _leading_zeros(expression: Any) -> int:
    """Zeros after the decimal point of a label's smallest number: 2 for 0.005, 0 for 0.5 and 5."""
    if not getattr(expression, "is_number", False):
        return max(map(_leading_zeros, getattr(expression, "args", ())), default=0)
    try:
        number = Decimal(str(abs(expression).evalf(_PRECISION)))
    except (InvalidOperation, TypeError, ValueError):  # infinite, or can't be evaluated
        return 0
    return max(0, -number.adjusted() - 1) if number else 0
