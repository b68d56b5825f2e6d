"""One SGLang engine: its process, and requests to it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import structlog
import torch

from rljob.buffer.records import Group, VersionSpan

log = structlog.get_logger()

_STARTUP_SECONDS = 900.0  # a large model is read from a network disk
_LAST_LINES = 20
_CPU_PACKAGES = Path(__file__).parent / "cpu"


class EngineDiedError(RuntimeError):
    """The engine's process ended, or never became healthy; with its last lines."""


@dataclass(frozen=True)
class Output:
    """What an engine made of one prompt; one token, log-probability and version per position."""

    tokens: list[int]
    logprobs: list[float]
    versions: tuple[VersionSpan, ...]
    finish: str  # stop, length or abort


class EngineProcess:
    """Starts, watches and ends the server. It is in a session of its own, and ended as a whole."""

    def __init__(self, arguments: dict[str, Any], log_file: Path) -> None:
        self._arguments = arguments
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://{arguments['host']}:{arguments['port']}"

    async def start(self) -> None:
        """Returns once the server is healthy.

        Raises:
            EngineDiedError: it ended, or took longer than a quarter of an hour.
        """
        began = time.monotonic()
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rljob_rollout.engine_server"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=_environment(),
                start_new_session=True,
            )
        assert self._process.stdin is not None
        order = {"supervisor": os.getpid(), "arguments": self._arguments}
        self._process.stdin.write(json.dumps(order).encode())
        self._process.stdin.close()
        async with httpx.AsyncClient(base_url=self.url, timeout=5.0) as client:
            while not await _is_healthy(client):
                self._check()
                if time.monotonic() - began > _STARTUP_SECONDS:
                    raise EngineDiedError(
                        f"not healthy after {_STARTUP_SECONDS:.0f} s{self._last_lines()}"
                    )
                await asyncio.sleep(0.2)
        log.info("engine.started", url=self.url, seconds=round(time.monotonic() - began, 1))

    async def watch(self) -> None:
        """Raises EngineDiedError when the process ends."""
        while True:
            self._check()
            await asyncio.sleep(0.5)

    def stop(self) -> None:
        """Ends the server and all its processes at once: it holds nothing worth a farewell."""
        if self._process is None:
            return
        # Its own children end by themselves when it is gone, but not always at once.
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            log.debug("engine.gone")
        self._process.wait()

    def _check(self) -> None:
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            raise EngineDiedError(f"ended with exit code {code}{self._last_lines()}")

    def _last_lines(self) -> str:
        lines = self._log_file.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        return f"; its last lines ({self._log_file}):\n" + "\n".join(lines)


class EngineClient:
    """Generation requests to a healthy engine."""

    def __init__(self, url: str, api_key: str | None) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            # No time limit on generation: the process is watched instead.
            timeout=httpx.Timeout(None, connect=10.0),
            limits=httpx.Limits(max_connections=None),
        )

    async def generate(self, groups: Sequence[Group]) -> list[list[Output]]:
        """All samples of all groups, in one request: far cheaper than one request a sample.

        Raises:
            httpx.HTTPError: the engine refused, or died.
        """
        items = [group for group in groups for _ in range(group.samples)]
        reply = await self._client.post(
            "/generate",
            json={
                "input_ids": [group.prompt_tokens.tolist() for group in items],
                "sampling_params": [_sampling(group.sampling) for group in items],
                "return_logprob": True,
            },
        )
        reply.raise_for_status()
        outputs = iter([_output(item) for item in reply.json()])
        return [[next(outputs) for _ in range(group.samples)] for group in groups]

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()


def free_port(host: str) -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _sampling(sampling: dict[str, Any]) -> dict[str, Any]:
    """SamplingSpec's fields by SGLang's names."""
    values = dict(sampling)
    values["max_new_tokens"] = values.pop("max_response_tokens")
    return {name: value for name, value in values.items() if value != []}


def _output(item: dict[str, Any]) -> Output:
    meta = item["meta_info"]
    tokens = item["output_ids"]
    spans = meta.get("weight_versions") or [
        {"version": meta["weight_version"], "start": 0, "end": len(tokens)}
    ]
    return Output(
        tokens=tokens,
        logprobs=[entry[0] for entry in meta["output_token_logprobs"]],
        versions=tuple(
            VersionSpan(int(span["version"]), span["start"], span["end"]) for span in spans
        ),
        finish=meta["finish_reason"]["type"],
    )


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    if not torch.cuda.is_available():
        environment["SGLANG_USE_CPU_ENGINE"] = "1"
        path = [str(_CPU_PACKAGES), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    return environment


async def _is_healthy(client: httpx.AsyncClient) -> bool:
    try:
        reply = await client.get("/health")
    except httpx.HTTPError:
        return False
    return reply.status_code == httpx.codes.OK
