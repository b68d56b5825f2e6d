"""Placeholders and a postscript."""

import re

from rljob_rollout.rewards.ifeval.check import Check

_PLACEHOLDER = re.compile(r"\[[^\]\n]*\]")


def number_placeholders(text: str, *, num_placeholders: int) -> bool:
    """There are at least as many placeholders in square brackets."""
    return len(_PLACEHOLDER.findall(text)) >= num_placeholders


def postscript(text: str, *, postscript_marker: str) -> bool:
    """A marker such as "P.S." occurs, in either case; a space may follow its full stops."""
    marker = re.escape(postscript_marker.strip()).replace(r"\.", r"\.\s?")
    return re.search(marker.removesuffix(r"\s?"), text, re.IGNORECASE) is not None


CHECKS: dict[str, Check] = {
    "detectable_content:number_placeholders": number_placeholders,
    "detectable_content:postscript": postscript,
}
