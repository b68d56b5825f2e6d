"""Checks whether an engine still answers."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx

# Long enough for the slowest thing that an engine does between two requests: loading a bucket of
# weights.
_ANSWER_SECONDS = 5.0
_PAUSE_SECONDS = 1.0


class Pulse:
    """Polls an engine with a request that all of its processes take part in."""

    def __init__(self, url: str, api_key: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=_ANSWER_SECONDS,
            trust_env=False,
        )

    async def silences(self) -> AsyncIterator[float]:
        """After each request, for how many seconds there was no answer; 0: it has answered."""
        answered = time.monotonic()
        while True:
            try:
                # The scheduler takes part in this answer, unlike in that of /health.
                (await self._client.get("/server_info")).raise_for_status()
            except httpx.HTTPError:
                yield time.monotonic() - answered
            else:
                answered = time.monotonic()
                yield 0.0
            await asyncio.sleep(_PAUSE_SECONDS)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()
