"""The router role with a real sglang-router and a real buffer."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from rljob.api import RLJob
from rljob.buffer.client import TrainerBuffer, WorkerBuffer
from rljob.buffer.records import Engine
from rljob.plan.environment import RoleEnvironment
from rljob_rollout.engine import free_port
from tests.rollout.router.stand_in import StandInEngine
from tests.support.valkey import ValkeyServer
from tests.support.waiting import wait_for

API_KEY, ADMIN_KEY = "key-of-the-engines", "key-of-the-admin"

JOB = RLJob.model_validate(
    {
        "apiVersion": "rljob.dev/v1alpha1",
        "kind": "RLJob",
        "metadata": {"name": "routed"},
        "spec": {
            "model": {"checkpoint": "/nowhere"},
            "data": {"prompts": ["/nowhere.jsonl"]},
            "schedule": {"rollouts": 1, "rolloutBatchSize": 1, "globalBatchSize": 8},
        },
    }
)


class RouterRole:
    """The role's process, and the router as a client sees it."""

    def __init__(self, directory: Path, buffer_url: str, **changes: Any) -> None:
        self.port = free_port("127.0.0.1")
        self.url = f"http://127.0.0.1:{self.port}"
        self.run_dir = directory / "run"
        self.run_dir.mkdir()
        self.termination_file = directory / "reason"
        self._output = directory / "router.out"
        job_file = directory / "job.json"
        job_file.write_text(JOB.model_dump_json(by_alias=True))
        values = {
            "role": "router",
            "replica": 0,
            "job_file": str(job_file),
            "run_dir": str(self.run_dir),
            "buffer_url": buffer_url,
            "engine_api_key": API_KEY,
            "metrics_port": 0,
            "router_port": self.port,
            "host": "127.0.0.1",
            "rendezvous": "127.0.0.1:1",
            "engine_admin_key": ADMIN_KEY,
            "termination_file": str(self.termination_file),
        }
        environment = RoleEnvironment(**values | changes)
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rljob_rollout.router"],
                env={**os.environ, **environment.to_env()},
                stdout=output,
                stderr=output,
            )

    @property
    def router(self) -> psutil.Process:
        """The process of sglang-router."""
        (child,) = psutil.Process(self.process.pid).children()
        return child

    def output(self) -> str:
        return self._output.read_text()

    def wait(self) -> int:
        return self.process.wait(60)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        def happened() -> bool:
            if condition():
                return True
            assert self.process.poll() is None, f"ended before: {what}\n{self.output()}"
            return False

        wait_for(happened, what)

    def until_ready(self) -> None:
        self.until(lambda: "router.started" in self.output(), "the router is up")

    def generate(self, key: str | None = API_KEY) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        body = {"input_ids": [1, 2], "sampling_params": {"max_new_tokens": 1}}
        return httpx.post(f"{self.url}/generate", json=body, headers=headers, timeout=30)

    def workers(self, key: str | None = ADMIN_KEY) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.get(f"{self.url}/workers", headers=headers, timeout=30)

    def listed(self) -> set[str]:
        return {worker["url"] for worker in self.workers().json()["workers"]}

    def until_listed(self, *engines: StandInEngine) -> None:
        wanted = {engine.url for engine in engines}
        self.until(lambda: self.listed() == wanted, f"the router knows {sorted(wanted)}")

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path) as server:
        yield server


@pytest.fixture
def trainer(server: ValkeyServer) -> Iterator[TrainerBuffer]:
    trainer = TrainerBuffer(server.url, JOB.key)
    trainer.start(0)
    yield trainer
    trainer.close()


@pytest.fixture
def start_role(tmp_path: Path, server: ValkeyServer) -> Iterator[Callable[..., RouterRole]]:
    roles: list[RouterRole] = []

    def start(**changes: Any) -> RouterRole:
        roles.append(RouterRole(tmp_path, server.url, **changes))
        return roles[-1]

    yield start
    for role in roles:
        role.kill()


@pytest.fixture
def engine() -> Iterator[StandInEngine]:
    engine = StandInEngine()
    yield engine
    engine.close()


@pytest.fixture
def second() -> Iterator[StandInEngine]:
    engine = StandInEngine()
    yield engine
    engine.close()


@pytest.fixture
def register(server: ValkeyServer) -> Callable[..., None]:
    """Registers an engine as its worker does."""

    def register(name: str, engine: StandInEngine, ttl_seconds: float = 600) -> None:
        async def heartbeat() -> None:
            buffer = WorkerBuffer(server.url, JOB.key, worker=name, lease_seconds=60)
            await buffer.heartbeat(Engine(f"{name}/e", name, engine.url), ttl_seconds)
            await buffer.close()

        asyncio.run(heartbeat())

    return register
