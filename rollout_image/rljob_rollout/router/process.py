"""Runs the router's process, from start to end."""

import asyncio
import collections
import contextlib
import os
import re
import sys
import time
from pathlib import Path

import httpx

_STARTUP_SECONDS = 120.0
_STOP_SECONDS = 3.0  # for requests in progress; then it is killed
_LOOK_SECONDS = 0.1
_LAST_LINES = 20
_COLOURS = re.compile(rb"\x1b\[[0-9;]*m")  # sglang-router colours its log even without a terminal


class RouterDiedError(RuntimeError):
    """The router's process ended, or was not ready in time; the message has its last output."""


class RouterProcess:
    """Starts, watches and stops `rljob_rollout.router.server` in its own process group."""

    def __init__(self, url: str, metrics_port: int, log_file: Path) -> None:
        """Starts nothing yet.

        Args:
            url: where it will listen.
            metrics_port: where it will serve its own metrics.
            log_file: the router's output is appended to it.
        """
        self._url = url
        self._metrics_port = metrics_port
        self._log_file = log_file
        self._lines: collections.deque[bytes] = collections.deque(maxlen=_LAST_LINES)
        self._process: asyncio.subprocess.Process | None = None
        self._copy: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the process; returns once it answers.

        Raises:
            RouterDiedError: it ended, or took too long.
        """
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "rljob_rollout.router.server",
            str(self._metrics_port),
            str(os.getpid()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Signals to the role's group are for the role, which then stops the router.
            process_group=0,
        )
        assert self._process.stdout is not None
        self._copy = asyncio.create_task(self._copy_output(self._process.stdout))
        deadline = time.monotonic() + _STARTUP_SECONDS
        async with httpx.AsyncClient(base_url=self._url, timeout=5.0, trust_env=False) as client:
            while not await _is_alive(client):
                if self._process.returncode is not None:
                    await self.watch()
                if time.monotonic() > deadline:
                    raise RouterDiedError(
                        f"router: not ready after {_STARTUP_SECONDS:.0f} s{self._last_lines()}"
                    )
                await asyncio.sleep(_LOOK_SECONDS)

    async def watch(self) -> None:
        """Waits for the process to end, which it should not do by itself.

        Raises:
            RouterDiedError: it has ended.
        """
        assert self._process is not None
        assert self._copy is not None
        code = await self._process.wait()
        await self._copy
        raise RouterDiedError(f"router: ended with exit code {code}{self._last_lines()}")

    async def stop(self) -> None:
        """Ends the process: first by request, then by force."""
        if self._process is None or self._copy is None:
            return
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._copy

    async def _copy_output(self, output: asyncio.StreamReader) -> None:
        with self._log_file.open("ab", buffering=0) as file:
            async for line in output:
                plain = _COLOURS.sub(b"", line)
                self._lines.append(plain)
                file.write(plain)

    def _last_lines(self) -> str:
        lines = b"".join(self._lines).decode(errors="replace")
        return f"; the last lines of {self._log_file}:\n{lines}"


async def _is_alive(client: httpx.AsyncClient) -> bool:
    try:
        reply = await client.get("/liveness")
    except httpx.TransportError:
        return False
    return reply.is_success
