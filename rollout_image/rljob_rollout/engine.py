"""Runs the process of one SGLang engine, from start to end."""

import asyncio
import collections
import contextlib
import os
import random
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import httpx
import structlog

log = structlog.get_logger()

_STARTUP_SECONDS = 900.0  # a large model may be loaded from a network disk
_LOOK_SECONDS = 0.2
_LAST_LINES = 20
_CHUNK_BYTES = 1 << 16
# Below the range that Linux uses for outgoing connections, as one of those could take the port in
# the half minute before the engine listens.
_PORTS = range(20000, 30000)


class EngineDiedError(RuntimeError):
    """The engine's process ended, or was not ready in time; the message has its last output."""


class EngineProcess:
    """Starts, watches and stops an engine in its own process group."""

    def __init__(
        self,
        host: str,
        log_file: Path,
        secrets: Sequence[str],
        scratch: Path,
        *,
        echo: BinaryIO | None = None,
        module: str = "rljob_rollout.engine_server",
    ) -> None:
        """Chooses a port; starts nothing yet.

        Args:
            host: the address on which it listens.
            log_file: the engine's output is appended to it.
            secrets: texts that are masked in the log: sglang prints its arguments.
            scratch: directory for the engine's temporary files.
            echo: the output is also written there, each line after `engine `; None: nowhere.
            module: the module to run, with the port and this process's id as arguments.
        """
        self._port = free_port(host)
        self.url = f"http://{host}:{self._port}"
        self._log_file = log_file
        self._scratch = scratch
        self._echo = echo
        self._module = module
        self._began = 0.0
        self._secrets = [secret.encode() for secret in secrets]
        self._lines: collections.deque[bytes] = collections.deque(maxlen=_LAST_LINES)
        self._process: asyncio.subprocess.Process | None = None
        self._copy: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the process."""
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        self._began = time.monotonic()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            str(self._port),
            str(os.getpid()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Signals to the worker's group are for the worker, which then stops the engine.
            process_group=0,
        )
        assert self._process.stdout is not None
        self._copy = asyncio.create_task(self._copy_output(self._process.stdout))
        log.info("engine.started", url=self.url, pid=self._process.pid, log=str(self._log_file))

    async def wait_until_ready(self) -> None:
        """Waits until the engine can generate.

        Raises:
            EngineDiedError: it ended, or took too long.
        """
        async with httpx.AsyncClient(base_url=self.url, timeout=30.0, trust_env=False) as client:
            while not await _is_healthy(client):
                if self._ended():
                    await self.watch()
                if time.monotonic() - self._began > _STARTUP_SECONDS:
                    raise EngineDiedError(
                        f"engine: not ready after {_STARTUP_SECONDS:.0f} s{self._last_lines()}"
                    )
                await asyncio.sleep(_LOOK_SECONDS)
        log.info("engine.ready", url=self.url, seconds=round(time.monotonic() - self._began, 1))

    async def watch(self) -> None:
        """Waits for the process to end, which it should not do by itself.

        Raises:
            EngineDiedError: it has ended.
        """
        assert self._process is not None and self._copy is not None
        code = await self._process.wait()
        # The rest of its output; a child of the engine may still hold the pipe open.
        await asyncio.wait([self._copy], timeout=1.0)
        raise EngineDiedError(f"engine: ended with exit code {code}{self._last_lines()}")

    async def stop(self) -> None:
        """Kills the process and all its children: they have nothing to clean up."""
        if self._process is None or self._copy is None:
            return
        with contextlib.suppress(ProcessLookupError):  # the whole group has ended
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._copy
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _ended(self) -> bool:
        return self._process is not None and self._process.returncode is not None

    async def _copy_output(self, output: asyncio.StreamReader) -> None:
        rest = b""
        with self._log_file.open("ab") as file:
            while chunk := await output.read(_CHUNK_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._write(line, file.write)
                file.flush()
                if self._echo is not None:
                    self._echo.flush()
            if rest:
                self._write(rest, file.write)

    def _write(self, line: bytes, write: Callable[[bytes], object]) -> None:
        for secret in self._secrets:
            line = line.replace(secret, b"***")
        self._lines.append(line)
        write(line + b"\n")
        if self._echo is not None:
            self._echo.write(b"engine " + line + b"\n")

    def _last_lines(self) -> str:
        lines = b"\n".join(self._lines).decode(errors="replace")
        return f"; the last lines of {self._log_file}:\n{lines}"


def free_port(host: str) -> int:
    """A port that no process listens on now.

    Raises:
        OSError: none is free, or the host is not an address of this machine.
    """
    family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket(family, kind) as probe, contextlib.suppress(OSError):
            probe.bind((address[0], port))
            return port
    raise OSError(f"no port of {host} from {_PORTS.start} to {_PORTS.stop} is free")


async def _is_healthy(client: httpx.AsyncClient) -> bool:
    try:
        reply = await client.get("/health")
    except httpx.TransportError:
        return False
    return reply.status_code == httpx.codes.OK
