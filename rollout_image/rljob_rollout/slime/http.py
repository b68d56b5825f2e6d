"""slime's `post` and `get`: calls of the engine are recorded, others are plain HTTP."""

import asyncio
import contextvars
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import aiohttp

from rljob_rollout.generate import Engine

ENGINE: contextvars.ContextVar[Engine] = contextvars.ContextVar("engine")
"""That of the sample that is being played, so that user code needs no key."""

_PAUSE_SECONDS = 1.0


async def post(
    url: str,
    payload: Mapping[str, Any] | None,
    max_retries: int = 60,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """The JSON answer to a POST, or its text.

    Args:
        url: the engine's (`args.sglang_router_ip`, `args.sglang_router_port`), or any other.
        payload: JSON.
        max_retries: of another than the engine, which is asked once: its own client retries.
        headers: of another than the engine.

    Raises:
        LimitReachedError, EngineError: as `Engine.generate`.
        aiohttp.ClientError: another did not answer, or with an error, at all attempts.
    """
    engine = ENGINE.get(None)
    if engine is not None and url.startswith(f"{engine.url}/"):
        return await engine.ask(url.removeprefix(engine.url), payload or {})
    for attempt in range(1, max_retries + 1):
        try:
            return await _request("POST", url, headers, json=payload or {})
        except aiohttp.ClientError:
            if attempt == max_retries:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)
    raise ValueError(f"max_retries: found {max_retries}; allowed: at least 1")


async def get(url: str) -> Any:
    """The JSON answer to a GET, or its text.

    Raises:
        aiohttp.ClientError: there is none, or an error.
    """
    return await _request("GET", url, None)


async def _request(method: str, url: str, headers: Mapping[str, str] | None, **options: Any) -> Any:
    # Hooks call from several event loops, and a session belongs to one.
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
        session.request(method, url, headers=headers, **options) as reply,
    ):
        text = await reply.text()
        if reply.status >= HTTPStatus.BAD_REQUEST:
            raise aiohttp.ClientResponseError(
                reply.request_info, reply.history, status=reply.status, message=text[:500]
            )
        try:
            return await reply.json(content_type=None)
        except ValueError:
            return text
