"""How a response begins and ends."""

from rljob_rollout.rewards.ifeval.check import Check

_SHORTEST = 2  # two quotation marks


def end_checker(text: str, *, end_phrase: str) -> bool:
    """It ends with a phrase, in any case; a quotation mark may follow."""
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def quotation(text: str) -> bool:
    """It is wrapped in double quotation marks."""
    text = text.strip()
    return len(text) >= _SHORTEST and text[0] == text[-1] == '"'


CHECKS: dict[str, Check] = {"startend:end_checker": end_checker, "startend:quotation": quotation}
