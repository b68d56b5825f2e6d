"""A worker with a real buffer and the session's engine, and a trainer that gives it work."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rljob.api import RLJob
from rljob.api.reward import RewardSpec, only
from rljob.api.rollout import SamplingSpec
from rljob.buffer.client import TrainerBuffer
from rljob.buffer.records import Completion, Group
from rljob_rollout.engine import EngineProcess
from rljob_rollout.worker import Worker
from tests.support.engine import RunningEngine, environment
from tests.support.job import manifest
from tests.support.valkey import ValkeyServer
from tests.support.waiting import wait_for


class SharedEngine(EngineProcess):
    """The session's engine in the place of a worker's own: it runs before and after."""

    def __init__(self, engine: RunningEngine) -> None:
        self.url = engine.url

    async def start(self) -> None:
        """Nothing: it runs."""
        self._began = time.monotonic()

    async def watch(self) -> None:
        """It does not end."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Nothing: others use it."""


class Trainer(TrainerBuffer):
    """The trainer's side, with the calls of a test."""

    def __init__(self, url: str, job: RLJob) -> None:
        super().__init__(url, job.key, patience_seconds=20)
        self.job = job
        self.incarnation = self.start(0)

    def group(self, number: int, prompt: list[int], **changes: Any) -> Group:
        """A group; `sampling` and `reward` change single fields."""
        sampling = SamplingSpec(**{"max_response_tokens": 6, **changes.pop("sampling", {})})
        reward = RewardSpec(**{"type": "reward:right_positions", **changes.pop("reward", {})})
        values: dict[str, Any] = {
            "id": number,
            "incarnation": self.incarnation,
            "kind": "train",
            "prompt": "4093>",
            "prompt_tokens": np.array(prompt, np.int32),
            "messages": None,
            "label": "0349",
            "metadata": {"source": f"train.jsonl:{number}"},
            "samples": 4,
            "sampling": sampling.model_dump(),
            "rewards": [only(reward).model_dump()],
            "seed": 1,
        }
        return Group(**{**values, **changes})

    def publish(self, version: int = 0) -> None:
        """Waits for the worker's engine and admits it to work."""
        wait_for(lambda: bool(self.engines()), "the engine is registered")
        self.set_version(version, [engine.id for engine in self.engines()])

    def completed(self, count: int) -> dict[int, Completion]:
        """Waits for `count` groups; returns them by id."""
        found: dict[int, Completion] = {}

        def enough() -> bool:
            found.update((completion.group, completion) for completion in self.collect(1.0))
            return len(found) >= count

        wait_for(enough, f"{count} groups are completed", 120)
        return found


class Scene:
    """A buffer, a trainer and a worker."""

    def __init__(self, directory: Path, server: ValkeyServer, engine: RunningEngine) -> None:
        self.directory = directory
        self.server = server
        self.engine = engine

    def play(self, script: Callable[[Trainer], Any], **changes: Any) -> Any:
        """Runs a worker while `script` plays the trainer; then asks the worker to stop.

        Args:
            script: gets the trainer; what it returns is returned.
            changes: of the manifest.
        """
        document = manifest(self.engine.task, **changes)
        told = environment(self.directory, document, buffer_url=self.server.url)
        trainer = Trainer(self.server.url, told.job())

        async def scene() -> Any:
            worker = asyncio.create_task(Worker(told, SharedEngine(self.engine)).run())
            scripted = asyncio.create_task(asyncio.to_thread(script, trainer))
            await asyncio.wait([worker, scripted], return_when=asyncio.FIRST_COMPLETED)
            if not worker.done():
                os.kill(os.getpid(), signal.SIGTERM)
            await worker
            return await scripted

        try:
            return asyncio.run(scene())
        finally:
            trainer.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path) as server:
        yield server


@pytest.fixture
def scene(
    tmp_path: Path,
    server: ValkeyServer,
    engine: RunningEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> Scene:
    # The plan puts the job's own code on the path.
    monkeypatch.syspath_prepend(Path(__file__).parent / "code")
    monkeypatch.syspath_prepend(manifest(engine.task)["spec"]["code"]["directory"])
    return Scene(tmp_path, server, engine)
