"""Tool calls in messages."""

import json
from collections.abc import Mapping
from typing import Any


def with_parsed_arguments(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message whose tool calls have objects as arguments, as chat templates want them.

    OpenAI's format has them as JSON texts, which a template would quote once more.
    """
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return dict(message)
    return {**message, "tool_calls": [_parsed(call) for call in calls]}


def as_tool_calls(parsed: list[dict[str, Any]], turn: int) -> list[dict[str, Any]]:
    """Tool calls in OpenAI's format from those that SGLang's parser found in a turn."""
    return [
        {
            "id": f"call_{turn}_{number}",
            "type": "function",
            "function": {"name": call["name"], "arguments": call["parameters"]},
        }
        for number, call in enumerate(parsed)
    ]


def _parsed(call: Any) -> Any:
    match call:
        case {"function": {"arguments": str(arguments)} as function}:
            try:
                parsed = json.loads(arguments)
            except ValueError:
                return call
            return {**call, "function": {**function, "arguments": parsed}}
    return call
