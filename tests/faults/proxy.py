"""A proxy between an operator and the API server that counts writes and injects faults."""

import asyncio
import json
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from tests.cluster import kubeconfig
from tests.cluster.control_plane import HOST
from tests.faults.fault import Fault, Refusal

_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_LEASES = "/leases"
_UNCOUNTED = (_LEASES, "/events")
_PASSED_ON = ("Accept", "Authorization", "Content-Type", "User-Agent")


class Proxy:
    """Serves plain HTTP on loopback, in a thread of its own, from its making to `close`."""

    def __init__(self, config: Path, namespace: str, fault: Fault) -> None:
        """
        Args:
            config: kubeconfig of the operator, with a token.
            namespace: the operator's own.
            fault: what goes wrong.
        """
        self.fault = fault
        self.writes: list[str] = []  # those that the server was asked for, e.g. "PATCH pods/one"
        self.sent: list[tuple[float, str]] = []  # time and kind of all writes but the Lease's
        self._access = kubeconfig.read(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._attempts = 0
        port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        self.kubeconfig = kubeconfig.write(
            config.with_suffix(".proxy"),
            f"http://{HOST}:{port}",
            Path(self._access.authority),
            {"token": self._access.token},
            namespace,
        )

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> int:
        context = ssl.create_default_context(cafile=self._access.authority)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=context),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        if request.query.get("watch") == "true":
            return await self._watch(request, headers)
        body = await request.read()
        counted = request.method in _WRITES and not any(part in request.path for part in _UNCOUNTED)
        self._attempts += counted
        number = self._attempts if counted else 0
        if _LEASES in request.path:
            await self.fault.lease()
        refusal = await self.fault.before(number)
        if refusal is None and counted:
            refusal = await self.fault.write(request.path)
        if refusal is not None:
            return _refuse(request, refusal)
        if request.method in _WRITES and _LEASES not in request.path:
            self.sent.append((time.time(), f"{request.method} {_short(request.path)}"))
        if counted:
            self.writes.append(f"{request.method} {_short(request.path)}")
        async with self._session.request(
            request.method, self._url(request), data=body or None, headers=headers
        ) as reply:
            content = await reply.read()
        refusal = await self.fault.after(number)
        if refusal is not None:
            return _refuse(request, refusal)
        if request.method == "GET" and reply.status == 200:
            content = self.fault.listed(f"{request.raw_path} {headers.get('Accept')}", content)
        return web.Response(body=content, status=reply.status, headers=_kept(reply))

    async def _watch(self, request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
        refusal = await self.fault.before(0)
        if refusal is not None:
            return _refuse(request, refusal)
        async with self._session.get(self._url(request), headers=headers) as reply:
            if reply.status != 200:
                content = await reply.read()
                return web.Response(body=content, status=reply.status, headers=_kept(reply))
            stream = web.StreamResponse(headers=_kept(reply))
            await stream.prepare(request)
            async for line in _lines(reply.content):
                passed = await self.fault.events(line)
                if passed is None:
                    await stream.write(line[: len(line) // 2])
                    _cut(request)
                    break
                for each in passed:
                    await stream.write(each)
            return stream

    def _url(self, request: web.Request) -> URL:
        return URL(self._access.server + request.raw_path, encoded=True)


async def _lines(content: aiohttp.StreamReader) -> Any:
    """Lines of any length, with their ends."""
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"


def _refuse(request: web.Request, refusal: Refusal) -> web.Response:
    if refusal.code == 0:
        _cut(request)
        return web.Response()
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "a fault of the test",
        "reason": refusal.reason,
        "code": refusal.code,
    }
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
        status["details"] = {"retryAfterSeconds": refusal.retry_after}
    return web.Response(
        body=json.dumps(status).encode(),
        status=refusal.code,
        headers=headers,
        content_type="application/json",
    )


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _kept(reply: aiohttp.ClientResponse) -> dict[str, str]:
    names = ("Content-Type", "Content-Encoding", "Retry-After")
    return {name: reply.headers[name] for name in names if name in reply.headers}


def _short(path: str) -> str:
    """What a write is about, without the namespace."""
    parts = path.strip("/").split("/")
    return "/".join(parts[parts.index("namespaces") + 2 :] if "namespaces" in parts else parts)
