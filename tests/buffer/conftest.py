"""Groups, completions, clients and servers for the tests of the buffer."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from rljob.buffer.keys import Keys
from rljob.buffer.records import (
    Completion,
    Engine,
    Group,
    Kind,
    Lease,
    Partial,
    Response,
    Segment,
    VersionSpan,
)
from rljob.buffer.trainer import TrainerBuffer
from rljob.buffer.worker import WorkerBuffer
from tests.support.a_sample import a_sample
from tests.support.valkey import ValkeyServer

JOB = "team/job"
KEYS = Keys(JOB)


class Worker:
    """A WorkerBuffer of which a test calls the coroutines as functions, with an engine."""

    def __init__(self, runner: asyncio.Runner, url: str, name: str, **options: Any) -> None:
        self.runner = runner
        self.engine = Engine(id=f"{name}/e", worker=name, url="http://127.0.0.1:1")
        options = {"lease_seconds": 60, "patience_seconds": 20} | options

        async def make() -> WorkerBuffer:
            return WorkerBuffer(url, JOB, worker=name, **options)

        self.buffer = runner.run(make())

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.buffer, name)
        return lambda *arguments, **options: self.runner.run(method(*arguments, **options))

    def take(self, count: int = 1) -> list[Lease]:
        return self.lease(self.engine.id, count)


def group(number: int, incarnation: int, kind: Kind = "train") -> Group:
    return Group(
        id=number,
        incarnation=incarnation,
        kind=kind,
        prompt=f"prompt {number}",
        prompt_tokens=np.array([number], np.int32),
        messages=None,
        label=str(number),
        metadata={},
        samples=1,
        sampling={},
        rewards=[],
        seed=number,
    )


def partial(number: int) -> Partial:
    segment = Segment.generated(
        np.array([5, 6], np.int32), np.array([-1.0, -2.0], np.float32), [VersionSpan(3, 0, 2)]
    )
    return Partial(number, 1, (Response(segment, "abort"),))


def completion(lease: Lease, worker: str = "rollout-0") -> Completion:
    sample = a_sample([1, 2], logprobs=[-1.0, -2.0], response=worker, reward=1.0)
    return Completion(
        group=lease.group.id,
        incarnation=lease.group.incarnation,
        worker=worker,
        samples=(sample,),
        failure=None,
        failure_is_usage=False,
        leased=1.0,
        finished=2.0,
    )


def let_lapse(client: redis.Redis) -> None:
    """Makes all present leases as old as if nobody had renewed them for an hour."""
    for kind in ("train", "evaluation"):
        if client.exists(KEYS[kind]):
            for entry in client.xpending_range(KEYS[kind], "workers", "-", "+", 1000):
                client.xclaim(
                    KEYS[kind],
                    "workers",
                    entry["consumer"],
                    0,
                    [entry["message_id"]],
                    idle=3_600_000,
                    justid=True,
                )


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def server(shared_server: ValkeyServer) -> ValkeyServer:
    """A server that holds nothing, for tests that leave it running."""
    with shared_server.client() as client:
        client.flushall()
    return shared_server


@pytest.fixture
def fragile_server(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server of the test's own, to stop, freeze and restart."""
    with ValkeyServer(tmp_path) as server:
        yield server


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def make_worker(runner: asyncio.Runner) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def make(server: ValkeyServer, name: str, **options: Any) -> Worker:
        made.append(Worker(runner, server.url, name, **options))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def make_trainer() -> Iterator[Callable[..., TrainerBuffer]]:
    made: list[TrainerBuffer] = []

    def make(server: ValkeyServer, **options: Any) -> TrainerBuffer:
        made.append(TrainerBuffer(server.url, JOB, **{"patience_seconds": 20} | options))
        return made[-1]

    yield make
    for trainer in made:
        trainer.close()


@pytest.fixture
def trainer(server: ValkeyServer, make_trainer: Callable[..., TrainerBuffer]) -> TrainerBuffer:
    """A trainer that has published version 0 to the engines of workers a and b."""
    trainer = make_trainer(server)
    trainer.start(0)
    trainer.set_version(0, ["a/e", "b/e"])
    return trainer


@pytest.fixture
def a(server: ValkeyServer, make_worker: Callable[..., Worker]) -> Worker:
    return make_worker(server, "a")


@pytest.fixture
def b(server: ValkeyServer, make_worker: Callable[..., Worker]) -> Worker:
    return make_worker(server, "b")
