"""Two responses, and the prompt repeated."""

from rljob_rollout.rewards.ifeval.check import Check

_DIVIDER = "******"


def two_responses(text: str) -> bool:
    """There are two different responses, divided by six asterisks."""
    parts = [part.strip() for part in text.strip().split(_DIVIDER)]
    inner = parts[not parts[0] : len(parts) - (not parts[-1])]
    return len(inner) == 2 and all(inner) and inner[0] != inner[1]


def repeat_prompt(text: str, *, prompt_to_repeat: str) -> bool:
    """The response begins with the prompt, in any case."""
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


CHECKS: dict[str, Check] = {
    "combination:two_responses": two_responses,
    "combination:repeat_prompt": repeat_prompt,
}
