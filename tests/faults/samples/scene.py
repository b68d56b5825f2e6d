"""A run whose every part may fail: a trainer, workers with engines, a server behind a proxy."""

import contextlib
import functools
import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import psutil

from examples.sort_digits.prepare import write_tokenizer
from rljob.plan.environment import RoleEnvironment
from tests.faults.samples import role, trainer
from tests.faults.samples.proxy import Proxy
from tests.support.engine import environment
from tests.support.job import manifest
from tests.support.valkey import ValkeyServer

WORKERS = 3
BATCH = 8
PROMPTS = 900
_TOO_LONG = 20  # prompts, which are skipped
_BACK_OFF_SECONDS = 0.05
# A role that ends so was killed, or told to stop, or has lost its engine.
_KILLED = {-signal.SIGKILL, -signal.SIGTERM, role.STOPPED}
_EXPECTED = {"trainer": _KILLED, "rollout": _KILLED | {0, 1}}


def write_job(directory: Path, rollouts: int, **changes: Any) -> dict[str, Any]:
    """Prompts and tokenizer; returns the manifest, with changes as `manifest` takes them."""
    model = directory / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    write_tokenizer(model)
    chance = random.Random(1)
    texts = [f"{chance.randrange(10**4):04d}>" for _ in range(PROMPTS - _TOO_LONG)]
    texts += ["1234567890>"] * _TOO_LONG
    chance.shuffle(texts)
    lines = [json.dumps({"prompt": text, "label": "".join(sorted(text[:-1]))}) for text in texts]
    (directory / "train.jsonl").write_text("\n".join(lines) + "\n")
    settings = {
        "data__skipLongPrompts": True,
        "algorithm__samplesPerPrompt": 2,
        "algorithm__filter": "nonzero-std",
        "schedule__rollouts": rollouts,
        "schedule__rolloutBatchSize": BATCH,
        "schedule__globalBatchSize": BATCH * 2,
        "schedule__stepsPerRollout": 1,
        "schedule__maxStaleness": 1,
        "schedule__saveInterval": 2,
        "rollout__replicas": WORKERS,
        "rollout__reward": {"type": "examples.sort_digits.reward:right_positions"},
        "rollout__rewardProcesses": 1,
        "rollout__leaseSeconds": 1,
        "rollout__attempts": 50,
        "rollout__partial": True,
        "rollout__maxConcurrentGroups": 4,
        # Then requests carry seeds, from which the engine here makes its answers.
        "rollout__sglang": {"enable_deterministic_inference": True},
    }
    return manifest(directory, **settings | changes)


@dataclass
class Role:
    """A place for a process, which is filled again when it ends."""

    environment: RoleEnvironment
    clock: "Synchronized[float]"
    process: BaseProcess
    since: float = 0.0  # its end was seen

    @property
    def name(self) -> str:
        return self.environment.member


class Scene:
    """Keeps the roles up until the trainer has reached the end; others break them meanwhile."""

    def __init__(self, directory: Path, rollouts: int, **changes: Any) -> None:
        self.directory = directory
        self.run_dir = directory / "run"
        document = write_job(directory, rollouts, **changes)
        self.server = ValkeyServer(directory)
        self.server.start()
        self.proxy = Proxy(self.server.port)
        self.trained = role.FORKS.Value("q", 0)
        self.allowed = role.FORKS.Value("q", 1)
        self.ended = threading.Event()
        self.error: str | None = None
        self.starts = 0
        self._closing = False
        self._lock = threading.Lock()  # over starts and stops of processes
        url = f"redis://127.0.0.1:{self.proxy.port}/0"
        told = environment(self.run_dir, document, buffer_url=url)
        role.FORKS.set_forkserver_preload(role.PRELOAD)
        self.trainer = self._place(replace(told, role="trainer"))
        self.workers = [
            self._place(replace(told, role="rollout", replica=number)) for number in range(WORKERS)
        ]
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def restarting(self) -> contextlib.AbstractContextManager[Any]:
        """While it is held no role is started."""
        return self._lock

    def engines(self) -> list[psutil.Process]:
        """The engines' processes."""
        found = []
        for worker in self.workers:
            with contextlib.suppress(psutil.Error):
                children = psutil.Process(worker.process.pid).children()
                # Beside it there are those that judge.
                found += [child for child in children if role.ENGINE in child.cmdline()]
        return found

    def close(self) -> None:
        """Ends all processes."""
        self._closing = True
        self._keeper.join()
        for each in [self.trainer, *self.workers]:
            each.process.kill()
            each.process.join()
        self.proxy.close()
        self.server.stop()

    def _place(self, told: RoleEnvironment) -> Role:
        clock = role.FORKS.Value("d", 0.0)
        return Role(told, clock, self._start(told, clock))

    def _start(self, told: RoleEnvironment, clock: "Synchronized[float]") -> BaseProcess:
        self.starts += 1
        if told.role == "trainer":
            train = functools.partial(trainer.train, self.trained, self.allowed)
            return role.start(told, clock, train)
        return role.start(told, clock, role.work)

    def _keep(self) -> None:
        while not self._closing and not self.ended.is_set():
            with self._lock:
                for each in [self.trainer, *self.workers]:
                    self._look(each)
            time.sleep(0.02)

    def _look(self, each: Role) -> None:
        code = each.process.exitcode
        if code is None:
            return
        kind = each.environment.role
        if kind == "trainer" and code == 0:
            self.ended.set()
        elif code not in _EXPECTED[kind]:
            log = (self.run_dir / f"{each.name}.log").read_text()[-4000:]
            self.error = f"{each.name} ended with {code}:\n{log}"
            self.ended.set()
        elif each.since == 0.0:
            each.since = time.monotonic()
        elif time.monotonic() - each.since > _BACK_OFF_SECONDS:
            each.process = self._start(each.environment, each.clock)
            each.since = 0.0


@contextlib.contextmanager
def scene(directory: Path, rollouts: int, **changes: Any) -> Iterator[Scene]:
    """A run that has begun, its manifest changed; what is left of it ends with the block."""
    made = Scene(directory, rollouts, **changes)
    try:
        yield made
    finally:
        made.close()


def stopped(pid: int, seconds: float) -> None:
    """Freezes a process for a while."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)
