"""The router role: runs a router for the whole run, with the engines that its buffer knows."""

import asyncio
import signal
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx
import structlog

from rljob.buffer.client import WorkerBuffer
from rljob.errors import UsageError
from rljob.plan.environment import RoleEnvironment
from rljob_rollout.engine import free_port
from rljob_rollout.router.listing import EngineListing
from rljob_rollout.router.process import RouterProcess

log = structlog.get_logger()

_LOOK_SECONDS = 2.0  # an engine that stops answering causes no event


class Router:
    """Supervises the router, and tells it which engines hold the published weights."""

    def __init__(self, environment: RoleEnvironment) -> None:
        """Starts nothing yet.

        Raises:
            UsageError: the router's port, or that of its metrics, can't be used.
        """
        job = environment.job()
        self._linger = environment.linger
        host = environment.host
        metrics_port = environment.metrics_port or free_port(host)
        for name, port in (("router", environment.router_port), ("metrics", metrics_port)):
            _check(host, port, name)
        self._url = f"http://{host}:{environment.router_port}"
        self._process = RouterProcess(
            self._url, metrics_port, Path(environment.run_dir) / "logs" / "router.log"
        )
        self._listing = EngineListing(
            self._url,
            engine_key=environment.engine_api_key,
            control_key=environment.engine_admin_key or environment.engine_api_key,
        )
        self._buffer = WorkerBuffer(
            environment.buffer_url,
            job.key,
            environment.buffer_password,
            worker="router",
            lease_seconds=job.spec.rollout.lease_seconds,
        )

    async def run(self) -> None:
        """Routes until the run is finished or a stop is requested.

        Raises:
            RouterDiedError: the router ended.
            BufferUnavailable: the buffer could not be reached for too long.
        """
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            await _first(stop.wait(), self._route())
        finally:
            await self._process.stop()
            await self._listing.close()
            await self._buffer.close()
        log.info("router.stopped")

    async def _route(self) -> None:
        await self._process.start()
        log.info("router.started", url=self._url)
        await _first(self._process.watch(), self._keep_listing())

    async def _keep_listing(self) -> None:
        while self._linger or (await self._buffer.state()).phase != "finished":
            engines = await self._buffer.admissible_engines()
            try:
                await self._listing.keep(engine.url for engine in engines)
            except httpx.TransportError as error:
                # If the router has ended, the task that watches it reports that.
                log.warning("router.silent", error=repr(error))
            await self._buffer.wait(_LOOK_SECONDS)


async def _first(*work: Coroutine[Any, Any, Any]) -> None:
    """Runs all until one ends, cancels the others, and raises the first one's error, if any."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _check(host: str, port: int, name: str) -> None:
    """Raises UsageError if the port can't be used."""
    try:
        socket.create_server((host, port)).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"{name} port {port} of {host} can't be used: "
            f"{getattr(error, 'strerror', None) or error}; free it or choose another one"
        ) from error
