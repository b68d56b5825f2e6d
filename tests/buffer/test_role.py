"""The buffer role as a process: its start, its end, its errors."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from rljob.api import RLJob
from rljob.api.buffer import BufferSpec
from rljob.buffer.keys import Keys
from rljob.buffer.memory import default_memory
from rljob.buffer.trainer import TrainerBuffer
from rljob.plan.environment import RoleEnvironment
from tests.buffer.conftest import Worker, completion, group
from tests.support.valkey import free_port

JOB = RLJob.model_validate(
    {
        "apiVersion": "rljob.dev/v1alpha1",
        "kind": "RLJob",
        "metadata": {"name": "job", "namespace": "team"},
        "spec": {
            "model": {"checkpoint": "/nowhere"},
            "data": {"prompts": ["/nowhere.jsonl"]},
            "schedule": {"rollouts": 1, "rolloutBatchSize": 8, "globalBatchSize": 64},
        },
    }
)
PASSWORD = 'a "quoted" \\ one'


class Role:
    """`python -m rljob.buffer`, as the scheduler starts it."""

    def __init__(
        self, run_dir: Path, *, password: str | None = PASSWORD, linger: bool = False
    ) -> None:
        self.run_dir = run_dir
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.password = password
        self.output = run_dir / "output"
        job_file = run_dir / "job.json"
        job_file.write_text(JOB.model_dump_json(by_alias=True))
        environment = RoleEnvironment(
            role="buffer",
            replica=0,
            job_file=str(job_file),
            run_dir=str(run_dir),
            buffer_url=self.url,
            engine_api_key="key",
            metrics_port=0,
            router_port=1,
            host="127.0.0.1",
            rendezvous="127.0.0.1:1",
            buffer_password=password,
            termination_file=str(run_dir / "reason"),
            linger=linger,
        )
        self.environment = {**os.environ, **environment.to_env(), "TMPDIR": str(run_dir)}
        self.process: subprocess.Popen[bytes] | None = None

    def limit_memory(self, memory: str) -> None:
        job_file = self.run_dir / "job.json"
        spec = JOB.spec.model_copy(update={"buffer": BufferSpec(memory=memory)})
        job_file.write_text(JOB.model_copy(update={"spec": spec}).model_dump_json(by_alias=True))

    def start(self) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rljob.buffer"],
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait(self) -> int:
        return self.process.wait(timeout=30)

    def trainer(self) -> TrainerBuffer:
        return TrainerBuffer(self.url, JOB.key, self.password, patience_seconds=30)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self.password)

    def valkey(self) -> int:
        with self.client() as client:
            return client.info("server")["process_id"]

    def logged(self, text: str) -> bool:
        return text in self.output.read_text()


@pytest.fixture
def role(tmp_path):
    role = Role(tmp_path)
    yield role
    if role.process is not None and role.process.poll() is None:
        os.killpg(role.process.pid, signal.SIGKILL)
        role.process.wait()


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pid):
    """True once the process has ended, be it that nobody has collected it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_it_ends_by_itself_once_the_run_is_finished_and_the_others_have_gone(role, runner):
    role.start()
    trainer = role.trainer()
    assert trainer.start(0) == 1
    worker = Worker(runner, role.url, "a", password=role.password)
    worker.heartbeat(worker.engine, 60)
    trainer.set_version(0, ["a/e"])
    trainer.admit([group(1, 1)])
    (lease,) = worker.take()
    assert worker.complete(lease, completion(lease)) is True
    assert [entry.group for entry in trainer.collect(5)] == [1]
    trainer.set_phase("finished")
    trainer.close()
    assert worker.state().phase == "finished"  # the buffer waits for the worker to read this
    assert role.process.poll() is None
    worker.close()
    assert role.wait() == 0
    # A later run in this directory does not find this one's end.
    assert not (role.run_dir / "buffer").exists()
    assert role.logged("buffer[0] info buffer.stopped finished=true")


def test_one_that_lingers_ends_only_when_it_is_told_to(tmp_path):
    role = Role(tmp_path, linger=True)
    role.start()
    try:
        trainer = role.trainer()
        trainer.start(0)
        trainer.set_phase("finished")
        trainer.close()
        # As many looks as take a role that does not linger to its end.
        with pytest.raises(subprocess.TimeoutExpired):
            role.process.wait(3)
        role.process.send_signal(signal.SIGTERM)
        assert role.wait() == 0
        assert not (role.run_dir / "buffer").exists()
    finally:
        if role.process.poll() is None:
            os.killpg(role.process.pid, signal.SIGKILL)
            role.process.wait()


@pytest.mark.parametrize("memory", [None, "3Mi"])
def test_its_memory_is_limited(role, memory):
    if memory is not None:
        role.limit_memory(memory)
    role.start()
    role.trainer().start(0)
    with role.client() as client:
        found = client.config_get("maxmemory*")
    assert found["maxmemory"] == str(default_memory() if memory is None else 3 * 2**20)
    assert found["maxmemory-policy"] == "noeviction"


def test_its_clients_are_named_while_they_are_open(role, runner):
    role.start()
    trainer = role.trainer()
    trainer.start(0)
    worker = Worker(runner, role.url, "rollout-3", password=role.password)
    worker.state()
    with role.client() as client:
        names = {entry["name"] for entry in client.client_list()}
        assert {"rljob-trainer", "rljob-rollout-rollout-3"} <= names
        worker.close()
        trainer.close()
        until(lambda: {entry["name"] for entry in client.client_list()} <= {"", "rljob-buffer"})


def test_a_stop_waits_for_the_clients_and_keeps_the_data(role):
    role.start()
    trainer = role.trainer()
    trainer.start(0)
    trainer.admit([group(1, 1)])
    role.process.send_signal(signal.SIGTERM)
    trainer.set_phase("stopping")  # still served
    trainer.close()
    assert role.wait() == 0
    role.start()
    again = role.trainer()
    assert again.occupancy().waiting == 1
    again.close()


def test_a_stop_does_not_wait_for_ever(role):
    role.start()
    trainer = role.trainer()
    trainer.start(0)
    role.process.send_signal(signal.SIGTERM)
    assert role.wait() == 0  # with the trainer's connection still open
    trainer.close()


def test_a_stop_ends_a_frozen_server(role):
    role.start()
    role.trainer().start(0)
    server = role.valkey()
    os.kill(server, signal.SIGSTOP)
    role.process.send_signal(signal.SIGTERM)
    assert role.wait() == 0
    assert gone(server)


def test_a_server_that_dies_fails_the_role_with_its_last_lines(role):
    role.start()
    role.trainer().start(0)
    os.kill(role.valkey(), signal.SIGTERM)
    assert role.wait() == 1
    reason = (role.run_dir / "reason").read_text()
    assert "valkey-server ended with code 0; its last lines:" in reason
    assert "ready to exit, bye bye" in reason


def test_a_killed_role_leaves_no_server_behind(role):
    role.start()
    role.trainer().start(0)
    server = role.valkey()
    role.process.kill()
    until(lambda: gone(server))


def test_a_taken_port_is_named(role):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", role.port))
        taken.listen()
        role.start()
        assert role.wait() == 64
    reason = (role.run_dir / "reason").read_text()
    assert re.search(
        f"port {role.port} of 127.0.0.1 cannot be used: Address already in use", reason
    )


def test_the_password_is_asked_for_and_stands_on_no_command_line(role):
    role.start()
    role.trainer().start(0)
    with redis.Redis(port=role.port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.get(Keys(JOB.key)["state"])
    assert b"quoted" not in Path(f"/proc/{role.valkey()}/cmdline").read_bytes()
    assert not role.logged("quoted")


def test_without_a_password_none_is_asked_for(tmp_path):
    role = Role(tmp_path, password=None)
    role.start()
    trainer = role.trainer()
    assert trainer.start(0) == 1
    trainer.set_phase("finished")
    trainer.close()
    assert role.wait() == 0
