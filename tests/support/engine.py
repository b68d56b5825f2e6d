"""One real SGLang engine for a whole test session, because it takes half a minute to start."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from rljob.api import RLJob
from rljob.plan.environment import RoleEnvironment
from rljob_rollout.engine import free_port
from tests.support.job import manifest, write_task
from tests.support.waiting import wait_for

API_KEY = "key-of-the-engine"
ADMIN_KEY = "key-of-the-administrator"
START_SECONDS = 600  # on a busy machine


def environment(
    directory: Path, document: dict[str, Any], *, buffer_url: str = "redis://127.0.0.1:1/0"
) -> RoleEnvironment:
    """The environment of one of the job's workers, with `directory` as its run directory."""
    job = RLJob.model_validate(document)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "job.json").write_text(job.model_dump_json(by_alias=True))
    return RoleEnvironment(
        role="rollout",
        replica=0,
        job_file=str(directory / "job.json"),
        run_dir=str(directory),
        buffer_url=buffer_url,
        engine_api_key=API_KEY,
        engine_admin_key=ADMIN_KEY,
        metrics_port=0,
        router_port=1,
        host="127.0.0.1",
        rendezvous="127.0.0.1:1",
    )


@dataclass(frozen=True)
class RunningEngine:
    """The engine of the session; `task` contains the sorting task with its model."""

    url: str
    task: Path
    pid: int  # of the leader of its process group

    def signal(self, number: int) -> None:
        """Sends a signal to all of its processes."""
        os.killpg(self.pid, number)

    def control(self, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Makes a request as the trainer does."""
        reply = httpx.post(
            self.url + path,
            json=body or {},
            headers={"Authorization": f"Bearer {ADMIN_KEY}"},
            timeout=60,
            trust_env=False,
        )
        reply.raise_for_status()
        return reply

    def generated(self) -> float:
        """Response tokens since its start, including those of running requests."""
        text = httpx.get(f"{self.url}/metrics", timeout=10, trust_env=False).text
        name = "sglang:realtime_tokens_total{"
        lines = [line for line in text.splitlines() if line.startswith(name)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if 'mode="decode"' in line)

    def reset(self) -> None:
        """Loads the checkpoint's weights as version 0; nothing is paused or cached afterwards."""
        self.control("/continue_generation")
        self.control("/abort_request", {"abort_all": True})
        body = {
            "model_path": str(self.task / "model"),
            "load_format": "safetensors",
            "weight_version": "0",
        }
        self.control("/update_weights_from_disk", body)


@pytest.fixture(scope="session")
def session_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """The engine, which is started when the first test asks for it."""
    directory = tmp_path_factory.mktemp("engine")
    task = write_task(directory / "sort")
    # The context leaves room for long responses.
    document = manifest(task, rollout__sampling__maxResponseTokens=900)
    variables = environment(directory, document).to_env()
    port = free_port("127.0.0.1")
    url = f"http://127.0.0.1:{port}"
    log = directory / "engine.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "rljob_rollout.engine_server", str(port), str(os.getpid())],
            env={**os.environ, **variables, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(lambda: _answers(process, url, log), "the engine is ready", START_SECONDS)
        yield RunningEngine(url, task, process.pid)
    finally:
        os.killpg(process.pid, 9)
        process.wait()


@pytest.fixture
def engine(session_engine: RunningEngine) -> RunningEngine:
    """The session's engine, reset to the state in which it started."""
    session_engine.reset()
    return session_engine


def _answers(process: subprocess.Popen[bytes], url: str, log: Path) -> bool:
    assert process.poll() is None, log.read_text(errors="replace")[-3000:]
    try:
        return httpx.get(url + "/health", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
