"""A calculator as a tool: the model may call it, reads the result, and answers."""

import json
import re
from typing import Any

from rljob_rollout.generate import Context, Engine, Sample

PRODUCT = re.compile(r"(\d{1,6})\*(\d{1,6})")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "calculate",
            "description": "Multiplies two numbers.",
            "parameters": {
                "type": "object",
                "properties": {"expression": {"type": "string"}},
                "required": ["expression"],
            },
        },
    }
]


def calculate(arguments: str) -> str:
    """The product that a call asks for, or what is wrong with the call."""
    try:
        found = PRODUCT.fullmatch(json.loads(arguments)["expression"])
    except (ValueError, TypeError, KeyError):
        found = None
    return str(int(found[1]) * int(found[2])) if found else "error"


async def play(sample: Sample, engine: Engine, context: Context) -> dict[str, Any]:
    """Plays until the model answers without a call; what it then says is judged."""
    messages = list(sample.messages)
    while True:
        message = await engine.chat(messages, tools=TOOLS)
        messages.append(message)
        calls = message.get("tool_calls") or []
        if not calls:
            return {"response": message["content"] or "", "calls": len(messages) // 2 - 1}
        for call in calls:
            result = await context.tool(calculate, call["function"]["arguments"])
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
