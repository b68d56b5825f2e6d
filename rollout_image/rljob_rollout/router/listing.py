"""The list of engines that a router knows."""

import time
from collections.abc import Iterable
from typing import Any

import httpx
import structlog

log = structlog.get_logger()

_AGAIN_SECONDS = 30.0  # by then the router has given up on an engine; see its arguments


class EngineListing:
    """Keeps the router's list equal to the engines that it may use, through its /workers."""

    def __init__(self, url: str, *, engine_key: str, control_key: str) -> None:
        """Does not connect yet.

        Args:
            url: the router's.
            engine_key: the key with which the router queries the engines.
            control_key: the key with which the list may be changed.
        """
        self._engine_key = engine_key
        self._asked: dict[str, float] = {}  # url -> when the router was asked to add it
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {control_key}"},
            timeout=10.0,
            trust_env=False,
        )

    async def keep(self, urls: Iterable[str]) -> None:
        """Asks the router to add and remove engines so that its list equals `urls`.

        The router does so asynchronously, and forgets engines that it can't reach: call repeatedly.

        Raises:
            httpx.HTTPError: the router does not answer, or refuses.
        """
        wanted = set(urls)
        listed = {worker["url"]: worker["id"] for worker in await self._listed()}
        self._asked = {url: at for url, at in self._asked.items() if url in wanted - listed.keys()}
        for url in sorted(wanted - listed.keys()):
            if time.monotonic() - self._asked.get(url, -_AGAIN_SECONDS) < _AGAIN_SECONDS:
                continue
            body = {"url": url, "api_key": self._engine_key}
            (await self._client.post("/workers", json=body)).raise_for_status()
            self._asked[url] = time.monotonic()
            log.info("engine.listed", url=url)
        for url in sorted(listed.keys() - wanted):
            reply = await self._client.delete(f"/workers/{listed[url]}")
            if reply.status_code != httpx.codes.NOT_FOUND:  # removed meanwhile
                reply.raise_for_status()
            log.info("engine.unlisted", url=url)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _listed(self) -> list[dict[str, Any]]:
        reply = await self._client.get("/workers")
        reply.raise_for_status()
        workers: list[dict[str, Any]] = reply.json()["workers"]
        return workers
