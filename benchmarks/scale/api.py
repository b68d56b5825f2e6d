"""A fast client of the API server: many concurrent requests over kept connections."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from tests.cluster import kubeconfig

AT_A_TIME = 32
_LONGEST_LINE = 2**22  # bytes of one event of a watch

Manifest = dict[str, Any]


class Api:
    """Acts as the user of a kubeconfig, within `async with`; paths are the server's."""

    def __init__(self, config: Path) -> None:
        access = kubeconfig.read(config)
        self._server = access.server
        self._tls = ssl.create_default_context(cafile=access.authority)
        if access.certificate is not None:
            self._tls.load_cert_chain(*access.certificate)

    async def __aenter__(self) -> "Api":
        self._session = aiohttp.ClientSession(
            self._server,
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=2 * AT_A_TIME),
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=_LONGEST_LINE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def request(
        self, method: str, path: str, body: Any = None, kind: str = "json", **query: str
    ) -> Manifest:
        """Makes a request and returns its reply.

        Args:
            kind: content type of the body: json, merge-patch+json or apply-patch+yaml.

        Raises:
            RuntimeError: the server refuses the request.
        """
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"Content-Type": f"application/{kind}"}
        while True:
            async with self._session.request(
                method, path, data=data, params=query, headers=headers
            ) as response:
                text = await response.read()
                if response.status == 429:  # the server is overloaded
                    await asyncio.sleep(float(response.headers.get("Retry-After", "1")))
                    continue
            if response.status >= 400:
                raise RuntimeError(f"{method} {path}: {response.status} {text[:500]!r}")
            return msgspec.json.decode(text, type=dict[str, Any])

    async def count(self, path: str) -> int:
        """How many objects a collection has, without reading them."""
        reply = await self.request("GET", path, limit="1")
        return len(reply["items"]) + int(reply["metadata"].get("remainingItemCount", 0))

    async def watch(self, path: str, version: str) -> AsyncIterator[Manifest]:
        """Yields objects that are added or changed after a resource version."""
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "3600"}
        async with self._session.get(path, params=query) as response:
            async for line in response.content:
                yield msgspec.json.decode(line)["object"]


async def spread(items: Iterable[Any], work: Callable[[Any], Awaitable[None]]) -> None:
    """Does the work on every item, `AT_A_TIME` at a time; the first failure ends it."""
    source = iter(items)

    async def worker() -> None:
        for item in source:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_A_TIME):
            group.create_task(worker())
