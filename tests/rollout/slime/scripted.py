"""A stand-in for the engine, whose answers a test knows; the real one samples them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

VERSION = 3


def made(context: list[int], length: int) -> list[int]:
    """What it goes on with: digits that depend on all tokens before."""
    return [3 + (sum(context) + position) % 10 for position in range(length)]


def logprob(token: int) -> float:
    """Of each token that it makes."""
    return -token / 8


async def _generate(request: web.Request) -> web.Response:
    body = json.loads(await request.read())
    answers = []
    for context, sampling in zip(body["input_ids"], body["sampling_params"], strict=True):
        tokens = made(context, sampling["max_new_tokens"])
        meta: dict[str, Any] = {
            "finish_reason": {"type": "length", "length": len(tokens)},
            "output_token_logprobs": [[logprob(token), token, None] for token in tokens],
            "weight_versions": [{"version": str(VERSION), "start": 0, "end": len(tokens)}],
        }
        answers.append({"output_ids": tokens, "meta_info": meta})
    return web.json_response(answers)


@asynccontextmanager
async def scripted_engine() -> AsyncIterator[str]:
    """Its address."""
    application = web.Application()
    application.router.add_post("/generate", _generate)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
