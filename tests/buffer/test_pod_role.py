"""A role in a pod: what it prints reaches the buffer, and its end is its own."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rljob.buffer.log_stream import LogReceiver
from rljob.buffer.trainer import TrainerBuffer
from tests.buffer.conftest import JOB
from tests.buffer.test_role import JOB as MANIFEST
from tests.plan.test_environment import WHOLE
from tests.support.valkey import ValkeyServer
from tests.support.waiting import wait_for

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from rljob.buffer.pod_role import run_pod_role
def main(environment):
    print("it runs", flush=True)
    Path(environment.run_dir, "ready").touch()
    {body}
run_pod_role("rollout", main)
"""
WAITS = "signal.signal(signal.SIGTERM, lambda *_: sys.exit({code})); time.sleep(60)"


@pytest.fixture
def start(tmp_path: Path, server: ValkeyServer):
    """Starts a role whose main does `body`, in a pod or not."""
    (tmp_path / "job.json").write_text(MANIFEST.model_dump_json(by_alias=True))
    program = tmp_path / "program.py"

    def start(body: str, *, linger: bool = True, **changed: str) -> subprocess.Popen[str]:
        program.write_text(PROGRAM.format(body=body))
        environment = dataclasses.replace(
            WHOLE,
            job_file=str(tmp_path / "job.json"),
            run_dir=str(tmp_path),
            buffer_url=server.url,
            buffer_password=None,
            supervisor=None,
            termination_file=str(tmp_path / "reason"),
            name="job-rollout-a",
            linger=linger,
        )
        return subprocess.Popen(
            [sys.executable, program],
            env={**os.environ, **environment.to_env(), "TMPDIR": str(tmp_path), **changed},
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


def sent(server: ValkeyServer) -> str:
    receiver = LogReceiver(server.url, JOB, None)
    found = b"".join(output.text for output in receiver.fetch())
    receiver.close()
    return found.decode()


@pytest.mark.parametrize(
    ("body", "code", "last"),
    [
        ("return 0", 0, ""),
        ("raise RuntimeError('no room for the cache')", 1, "no room for the cache"),
        ("print('so far', flush=True); os.kill(os.getpid(), 9)", 137, "so far"),
    ],
)
def test_its_output_is_printed_and_sent_to_the_last_line(
    start, server: ValkeyServer, trainer: TrainerBuffer, body: str, code: int, last: str
) -> None:
    process = start(body)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert printed.startswith("it runs\n")
    assert last in printed
    assert sent(server) == printed


def test_the_reason_of_a_failure_is_left_as_ever(start, tmp_path: Path, trainer) -> None:
    start("raise RuntimeError('no room')").communicate(timeout=60)
    assert (tmp_path / "reason").read_text() == "RuntimeError: no room"


@pytest.mark.parametrize("code", [0, 3])
def test_a_signal_is_handed_on(start, tmp_path: Path, trainer, code: int) -> None:
    process = start(WAITS.format(code=code))
    wait_for((tmp_path / "ready").exists, "it runs")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == code


def test_without_a_cluster_nothing_is_sent(start, server: ValkeyServer, trainer) -> None:
    process = start("return 0", linger=False)
    assert process.communicate(timeout=60)[0] == "it runs\n"
    assert sent(server) == ""


def test_a_mistake_in_its_environment_is_told_by_the_role(start, tmp_path: Path) -> None:
    process = start("return 0", RLJOB_REPLICA="x")
    process.communicate(timeout=60)
    assert process.returncode == 64
    assert "RLJOB_REPLICA" in (tmp_path / "reason").read_text()
