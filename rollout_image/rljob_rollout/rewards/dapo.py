"""The verifier of DAPO."""

import re
from typing import Any

from rljob_rollout.rewards.label import texts_or_numbers
from rljob_rollout.rewards.sample import RewardInput

_END = 300  # characters of a response that are read; answers are short
_ANSWER = re.compile(r"answer\s*:\s*([^\n]+)", re.IGNORECASE)

# Minerva's normalisation, in its order, which matters: units are
# removed as they read without spaces.
_REPLACED = (
    ("an ", ""),
    ("a ", ""),
    (".$", "$"),
    (r"\$", ""),
    (r"\ ", ""),
    (" ", ""),
    ("mbox", "text"),
    (r",\text{and}", ","),
    (r"\text{and}", ","),
    (r"\text{m}", r"\text{}"),
)
_REMOVED = (
    *("square", "ways", "integers", "dollars", "mph", "inches", "hours", "km", "units", r"\ldots"),
    *("sue", "points", "feet", "minutes", "digits", "cents", "degrees", "cm", "gm", "pounds"),
    *("meters", "meals", "edges", "students", "childrentickets", "multiples", r"\text{s}"),
    *(r"\text{.}", "\\text{\ns}", r"\text{}^2", r"\text{}^3", "\\text{\n}", r"\text{}"),
    *(r"\mathrm{th}", r"^\circ", r"^{\circ}", r"\;", r",\!", "{,}", '"', r"\dots"),
)
_REWRITTEN = (
    (re.compile(r".*?(\$.*?\$).*"), r"\1"),  # only what is between the first two dollar signs
    (re.compile(r"\\text\{(.*?)\}"), r"\1"),
    (re.compile(r"\\textbf\{(.*?)\}"), r"\1"),
    (re.compile(r"\\overline\{(.*?)\}"), r"\1"),
    (re.compile(r"\\boxed\{(.*)\}"), r"\1"),
    (re.compile(r"frac([^{])(.)"), r"frac{\1}{\2}"),
    (re.compile(r"sqrt([^{])"), r"sqrt{\1}"),
)


def dapo(sample: RewardInput) -> dict[str, Any]:
    """1 if the last "Answer:" of the response is the label's text, else -1; and this answer.

    Both are normalised first. Only the last 300 characters of the response are read.
    Source: Yu et al. 2025, arXiv 2503.14476, whose verifier is verl's `math_dapo`; the normal form
    is Minerva's (Lewkowycz et al. 2022, arXiv 2206.14858, appendix D.1).
    """
    labels = [_normal(str(label)) for label in texts_or_numbers(sample, "dapo")]
    answers = _ANSWER.findall(sample.response[-_END:])
    answer = _normal(answers[-1]) if answers else None
    return {"reward": 1.0 if answer in labels else -1.0, "answer": answer or None}


def _normal(answer: str) -> str:
    answer = answer.rpartition("=")[2]
    for old, new in _REPLACED:
        answer = answer.replace(old, new)
    for removed in _REMOVED:
        answer = answer.replace(removed, "")
    for pattern, form in _REWRITTEN:
        answer = pattern.sub(form, answer)
    answer = answer.replace("$", "")
    digits = answer.replace(",", "")
    return (digits if digits.isdigit() else answer).strip()
