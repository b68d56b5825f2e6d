"""Multiple choice."""

import re
from string import ascii_uppercase
from typing import Any

from rljob.label import CHOICE, choice
from rljob_rollout.rewards.answer import after_thinking
from rljob_rollout.rewards.label import wrong_label
from rljob_rollout.rewards.sample import RewardInput

# What may stand between "answer is" or an opened box and the letter: spaces, Markdown, LaTeX.
_BETWEEN = r"(?:[\s:*_$(\[{]|\\(?:boxed|fbox|text|mathrm|mathbf|textbf)\b|(?i:option|choice)\b)*"
_END = r"(?![\w'\u2019])"  # a letter is a word of its own
# The second letter is in a box, where it cannot be the article "a".
_STATED = re.compile(
    rf"(?i:\banswer)[*_]*\s*(?i:is\b|:){_BETWEEN}([A-Z]){_END}"
    rf"|\\(?:boxed|fbox)\s*\{{{_BETWEEN}([A-Za-z]){_END}"
)
_IN_PARENTHESES = re.compile(r"\(([A-Z])\)")
_LINE = re.compile(r"\W*([A-Z])(?:\W*|[.):]\s.*)")


def gpqa(sample: RewardInput) -> dict[str, Any]:
    """1 if the response chooses the label's choice, else 0; and the letter of the choice.

    The label is a letter, a choice's index from 0, or, with the texts of all `choices` in the
    prompt's metadata, the text of the right one.
    Source of the forms: the GPQA baselines (Rein et al. 2023, arXiv 2311.12022) look for "answer is
    (C)", "Answer: (C)" and at last "(C)"; simple-evals asks for a last line "Answer: $LETTER".
    """
    choices = sample.metadata.get("choices")
    right = choice(sample.label, choices)
    if right is None:
        raise wrong_label(sample, "gpqa", CHOICE)
    letter = _chosen(after_thinking(sample.response))
    return {"reward": float(letter == ascii_uppercase[right]), "answer": letter}


def _chosen(text: str) -> str | None:
    """The letter that a text chooses, in upper case."""
    stated = _STATED.findall(text)
    if stated:
        return "".join(stated[-1]).upper()
    if found := _IN_PARENTHESES.findall(text):
        return str(found[-1])
    line = _LINE.fullmatch(text.strip().rpartition("\n")[2])
    return None if line is None else line[1]
