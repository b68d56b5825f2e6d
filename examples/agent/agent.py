"""An agent that knows nothing of rljob: it speaks OpenAI's API, as it would to any server."""

from typing import Any

from openai import AsyncOpenAI

from examples.tools.play import TOOLS, calculate
from rljob_rollout.generate import Context, Engine, Sample


async def solve(client: AsyncOpenAI, model: str, messages: list[Any]) -> str:
    """The agent: calls tools until it has an answer."""
    while True:
        reply = await client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
        message = reply.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return message.content or ""
        for call in message.tool_calls:
            result = calculate(call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


async def play(sample: Sample, engine: Engine, context: Context) -> dict[str, Any]:
    """One sample: the agent gets the worker's address and a key of its own."""
    async with AsyncOpenAI(base_url=context.base_url, api_key=context.api_key) as client:
        return {"response": await solve(client, context.model, list(sample.messages))}
