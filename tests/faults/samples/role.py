"""Processes of the run, forked from one that has imported everything, as imports take seconds."""

import asyncio
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from rljob.plan.environment import RoleEnvironment
from rljob.telemetry.role import run_role

FORKS = multiprocessing.get_context("forkserver")
PRELOAD = [
    "transformers",
    "transformers.models.auto.tokenization_auto",
    "rljob_rollout.worker",
    "rljob_trainer.samples.exchange",
    "tests.faults.samples.trainer",
    __name__,
]
STOPPED = 3  # exit code of a role that ended in order, before the run's end
ENGINE = "tests.faults.samples.engine"


def start(
    environment: RoleEnvironment,
    clock: "Synchronized[float]",
    main: Callable[[RoleEnvironment], int | None],
) -> BaseProcess:
    """Forks a process that is this role; what it prints goes to <run_dir>/<member>.log.

    Args:
        environment: of the role.
        clock: seconds by which its wall clock is wrong.
        main: the role.
    """
    process = FORKS.Process(target=_run, args=(environment, clock, main), daemon=True)
    process.start()
    return process


def work(environment: RoleEnvironment) -> None:
    """A rollout worker with an engine that generates by arithmetic."""
    from rljob_rollout.engine import EngineProcess
    from rljob_rollout.local_weights import copy_directory
    from rljob_rollout.worker import Worker

    log_file = Path(environment.run_dir) / f"engine-{environment.replica}.log"
    process = EngineProcess(
        environment.host, log_file, [], copy_directory(environment), module=ENGINE
    )

    async def run() -> None:
        await Worker(environment, process).run()

    asyncio.run(run())


def _run(
    environment: RoleEnvironment,
    clock: "Synchronized[float]",
    main: Callable[[RoleEnvironment], int | None],
) -> None:
    # A daemon of multiprocessing may have no children, and a worker has those that judge.
    multiprocessing.current_process().daemon = False
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))  # until the role listens itself
    path = Path(environment.run_dir) / f"{environment.member}.log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ.update(environment.to_env())
    real = time.time
    time.time = lambda: real() + clock.value
    run_role(environment.role, main)
