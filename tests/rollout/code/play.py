"""Generate functions as users write them, with their possible mistakes."""

import asyncio
import ctypes
import os
import time
from typing import Any

import httpx
from openai import AsyncOpenAI, BadRequestError

from rljob_rollout.generate import Context, Engine, LimitReachedError, Sample

TOOL = [9, 14]  # what a tool says, as tokens


async def two_turns(sample: Sample, engine: Engine, context: Context) -> None:
    first = await engine.generate(sample.prompt_tokens)
    await engine.reward(0.25)
    await engine.generate([*sample.prompt_tokens, *first.tokens, *TOOL])


async def sub_agent(sample: Sample, engine: Engine, context: Context) -> dict[str, Any]:
    """The second call does not go on from the first."""
    await engine.generate(sample.prompt_tokens)
    turn = await engine.generate(TOOL, max_response_tokens=2)
    return {"reward": 3, "response": "done", "seen": len(turn.tokens)}


async def for_ever(sample: Sample, engine: Engine, context: Context) -> None:
    tokens = sample.prompt_tokens
    while True:
        tokens = [*tokens, *(await engine.generate(tokens)).tokens, *TOOL]


async def catches_the_limit(sample: Sample, engine: Engine, context: Context) -> float:
    await engine.generate(sample.prompt_tokens)
    try:
        await engine.generate([*sample.prompt_tokens, *[3] * context.context_tokens])
    except LimitReachedError as error:
        return {"turns": 1.0, "tokens": 2.0}[error.limit]
    return 0.0


async def sleeps(sample: Sample, engine: Engine, context: Context) -> None:
    await engine.generate(sample.prompt_tokens)
    await asyncio.sleep(60)


async def faulty(sample: Sample, engine: Engine, context: Context) -> Any:
    """Does to the first sample of a group what its metadata say."""
    await engine.generate(sample.prompt_tokens)
    if sample.index:
        return 1.0
    match sample.metadata.get("fault"):
        case "raises":
            raise KeyError("answer")
        case "returns a text":
            return "right"
        case "returns NaN":
            return float("nan")
        case "blocks":
            time.sleep(60)
        case "holds the GIL":
            ctypes.PyDLL(None).sleep(60)
        case "exits":
            os._exit(3)
        case "takes memory":
            return len(bytearray(1 << 34))
        case "asks for nonsense":
            await engine.generate(sample.prompt_tokens, temperatur=1)
        case "offers tools":
            await engine.chat([{"role": "user", "content": "4"}], tools=[{"type": "function"}])
        case "has no template":
            await engine.chat([{"role": "user", "content": "4"}])
    return 1.0


async def slow_first(sample: Sample, engine: Engine, context: Context) -> float:
    if sample.metadata.get("slow"):
        await asyncio.sleep(5)
    await engine.generate(sample.prompt_tokens)
    return 1.0


def _work(seconds: float) -> str:
    time.sleep(seconds)
    return "done"


async def uses_a_tool(sample: Sample, engine: Engine, context: Context) -> float:
    await engine.generate(sample.prompt_tokens)
    return float(await context.tool(_work, 0.01) == "done" and context.seconds_left > 1)


async def openai_client(sample: Sample, engine: Engine, context: Context) -> dict[str, Any]:
    """An episode that an OpenAI client plays, token by token of a text."""
    async with AsyncOpenAI(base_url=context.base_url, api_key=context.api_key) as client:
        first = await client.completions.create(
            model=context.model, prompt=sample.prompt_tokens, logprobs=1, max_tokens=3
        )
        stream = await client.completions.create(
            model=context.model, prompt=TOOL, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        models = [model.id async for model in client.models.list()]
        try:
            await client.completions.create(model=context.model, prompt=TOOL, presence_penalty=0.5)
            refused = ""
        except BadRequestError as error:
            refused = error.message
    logprobs = first.choices[0].logprobs
    assert logprobs is not None
    return {
        "reward": 1,
        "logprobs": logprobs.token_logprobs,
        "usage": first.usage.completion_tokens if first.usage else None,
        "streamed": "".join(chunk.choices[0].text for chunk in chunks if chunk.choices),
        "stream_usage": chunks[-1].usage.prompt_tokens if chunks[-1].usage else None,
        "models": models,
        "refused": refused,
    }


async def with_a_wrong_key(sample: Sample, engine: Engine, context: Context) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.post(
            f"{context.base_url}/completions",
            json={"prompt": [3]},
            headers={"Authorization": f"Bearer {context.api_key}x"},
        )
    return {"reward": 1, "status": reply.status_code, "error": reply.json()["error"]["message"]}


async def play(sample: Sample, engine: Engine, context: Context) -> Any:
    """The function that the prompt's metadata name."""
    return await globals()[sample.metadata["play"]](sample, engine, context)


def not_async(sample: Sample, engine: Engine, context: Context) -> None:
    raise AssertionError("never called")
