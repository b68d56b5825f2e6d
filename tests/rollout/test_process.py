"""The worker as a process, as a scheduler starts it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rljob.plan.environment import variable
from tests.support.engine import ADMIN_KEY, API_KEY, environment
from tests.support.job import manifest, write_task
from tests.support.valkey import ValkeyServer
from tests.support.waiting import wait_for

SECONDS = 240  # for a start on a machine that does much else
pytestmark = pytest.mark.timeout(600)


class WorkerProcess:
    """`python -m rljob_rollout` and what it leaves."""

    def __init__(self, directory: Path, document: dict[str, Any], buffer_url: str) -> None:
        self.output = directory / "worker.log"
        self.engine_log = directory / "logs" / "engine-0.log"
        self.reason = directory / "reason"
        code = [str(Path(__file__).parent / "code"), document["spec"]["code"]["directory"]]
        variables = {
            **environment(directory, document, buffer_url=buffer_url).to_env(),
            variable("termination_file"): str(self.reason),
            "PYTHONPATH": os.pathsep.join(code),
            "OMP_NUM_THREADS": "1",
        }
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rljob_rollout"],
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text()

    def engine(self) -> psutil.Process:
        """Its engine, once it is there."""
        wait_for(lambda: bool(self._engines()), "the engine's process", SECONDS)
        return self._engines()[0]

    def _engines(self) -> list[psutil.Process]:
        assert self.process.poll() is None, self.text
        children = psutil.Process(self.process.pid).children()
        # Beside it there are those that judge.
        return [child for child in children if "rljob_rollout.engine_server" in child.cmdline()]

    def engine_said(self, text: str) -> bool:
        """Whether the engine's log has `text`; fails where the worker has ended."""
        assert self.process.poll() is None, self.text
        return self.engine_log.exists() and text in self.engine_log.read_text(errors="replace")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task") / "sort")


@pytest.fixture
def start(task: Path, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    started: list[WorkerProcess] = []

    def start(**changes: Any) -> WorkerProcess:
        started.append(WorkerProcess(tmp_path / "run", manifest(task, **changes), server.url))
        return started[-1]

    with ValkeyServer(tmp_path) as server:
        yield start
        for worker in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.process.pid, signal.SIGKILL)
            worker.process.wait()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"rollout__reward__type": "broken_reward:score"},
            "spec.rollout.reward.type: found 'broken_reward:score', but the module "
            "'broken_reward' does not import: ModuleNotFoundError: No module named "
            "'a_module_that_nobody_has'",
        ),
        (
            {
                "evaluation": [
                    {"name": "e", "prompts": "x", "reward": {"type": "odd_rewards:number"}}
                ]
            },
            "spec.evaluation[0].reward.type: found 'odd_rewards:number', but 'number'",
        ),
    ],
    ids=["hook", "evaluation"],
)
def test_a_reward_that_cannot_be_had_is_told_before_the_engine_starts(
    start: Callable[..., WorkerProcess], changes: dict[str, Any], said: str
) -> None:
    worker = start(**changes)
    assert worker.process.wait(SECONDS) == 64
    assert said in worker.reason.read_text()
    assert not worker.engine_log.exists()


def test_a_checkpoint_without_a_tokenizer_is_the_users_mistake(
    start: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_text("{}")
    worker = start(model__checkpoint=str(bare))
    assert worker.process.wait(SECONDS) == 64
    assert f"spec.model.checkpoint: {bare} has no usable tokenizer" in worker.reason.read_text()


def test_a_directory_that_is_no_checkpoint_is_told_as_by_the_trainer(
    start: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    worker = start(model__checkpoint=str(empty))
    assert worker.process.wait(SECONDS) == 64
    assert f"model checkpoint {empty}: no config.json" in worker.reason.read_text()


def test_a_stop_while_the_engine_starts_leaves_nothing_behind(
    start: Callable[..., WorkerProcess],
) -> None:
    worker = start()
    engine = worker.engine()
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(SECONDS) == 0, worker.text
    assert not engine.is_running()


def test_an_engine_does_not_outlive_a_worker_that_was_killed(
    start: Callable[..., WorkerProcess],
) -> None:
    worker = start()
    engine = worker.engine()
    worker.process.kill()
    worker.process.wait()
    wait_for(lambda: not engine.is_running(), "the engine has ended", SECONDS)


@pytest.mark.engine
def test_an_engine_that_dies_ends_the_worker_with_its_last_lines_and_without_its_keys(
    start: Callable[..., WorkerProcess],
) -> None:
    worker = start()
    engine = worker.engine()
    wait_for(lambda: worker.engine_said("server_args="), "the engine's arguments", SECONDS)
    # It has children by then, which have to go too.
    wait_for(lambda: len(engine.children(recursive=True)) > 1, "its schedulers", SECONDS)
    family = [engine, *engine.children(recursive=True)]
    commands = [" ".join(member.cmdline()) for member in family]
    engine.kill()
    assert worker.process.wait(SECONDS) == 1
    assert "engine: ended with exit code -9; the last lines of" in worker.reason.read_text()
    assert "server_args=" in worker.text
    wait_for(lambda: not any(p.is_running() for p in family), "all have ended")
    said = [worker.text, worker.engine_log.read_text(errors="replace"), *commands]
    assert not any(key in text for key in (API_KEY, ADMIN_KEY) for text in said)
    assert "'api_key': '***'" in worker.engine_log.read_text(errors="replace")
