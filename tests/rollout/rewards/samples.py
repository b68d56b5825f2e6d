"""Responses to judge."""

from typing import Any

from rljob_rollout.rewards import RewardInput


def sample(response: str, label: Any = None, **changes: Any) -> RewardInput:
    """A response to the prompt of line 3."""
    values: dict[str, Any] = {
        "prompt": "4093>",
        "metadata": {"source": "train.jsonl:3"},
        "response_tokens": [1, 2, 3],
        "status": "completed",
        "max_response_tokens": 8,
    }
    values |= {"response": response, "plain_response": response, "label": label}
    return RewardInput(**values | changes)
