"""Lists, sections, a title, JSON, or one of three answers."""

import json
import re

from rljob_rollout.rewards.ifeval.check import Check

_BULLET = re.compile(r"^\s*(?:\*[^*\n]|-)", re.MULTILINE)
_HIGHLIGHT = re.compile(r"(\*\*?)([^*\n]+)\1")
_TITLE = re.compile(r"<<([^\n]+?)>>")
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL | re.IGNORECASE)
_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def number_bullet_lists(text: str, *, num_bullets: int) -> bool:
    """There are exactly as many lines that begin with `*` or `-`."""
    return len(_BULLET.findall(text)) == num_bullets


def number_highlighted_sections(text: str, *, num_highlights: int) -> bool:
    """There are at least as many parts `*like this*` or `**like this**`."""
    return sum(bool(part.strip()) for _, part in _HIGHLIGHT.findall(text)) >= num_highlights


def multiple_sections(text: str, *, section_spliter: str, num_sections: int) -> bool:
    """There are at least as many headings of a word and a number."""
    heading = rf"{re.escape(section_spliter.strip())}\s?\d+"
    return len(re.findall(heading, text)) >= num_sections


def json_format(text: str) -> bool:
    """The whole is JSON, in a Markdown fence or not."""
    text = text.strip()
    fenced = _FENCE.fullmatch(text)
    try:
        json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return False
    return True


def title(text: str) -> bool:
    """There is a title, <<in double angular brackets>>."""
    return any(each.strip("<> ") for each in _TITLE.findall(text))


def constrained_response(text: str) -> bool:
    """One of the three answers that IFEval allows occurs."""
    return any(answer in text for answer in _ANSWERS)


CHECKS: dict[str, Check] = {
    "detectable_format:number_bullet_lists": number_bullet_lists,
    "detectable_format:number_highlighted_sections": number_highlighted_sections,
    "detectable_format:multiple_sections": multiple_sections,
    "detectable_format:json_format": json_format,
    "detectable_format:title": title,
    "detectable_format:constrained_response": constrained_response,
}
