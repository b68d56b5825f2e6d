"""The output of pods on the run volume."""

import os
from pathlib import Path

import pytest

from rljob.buffer.log_stream import LogReceiver, LogSender
from rljob.buffer.trainer import TrainerBuffer
from rljob.cli.logs import logs
from rljob_trainer.telemetry import pod_logs
from rljob_trainer.telemetry.pod_logs import PodLogs
from tests.support.run_dir import write_run_dir
from tests.support.valkey import ValkeyServer

JOB = "default/job"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory):
    with ValkeyServer(tmp_path_factory.mktemp("valkey")) as server:
        trainer = TrainerBuffer(server.url, JOB)
        trainer.start(0)
        yield server
        trainer.close()


def pass_on(server: ValkeyServer, run_dir: Path, role: str, member: str, *lines: str) -> None:
    """The lines of a pod, through the buffer, to the volume."""
    sender = LogSender(server.url, JOB, None, role=role, member=member)
    for line in lines:
        sender.put(f"{line}\n".encode())
    sender.close()
    kept = PodLogs(run_dir, LogReceiver(server.url, JOB, None))
    kept.start()
    kept.close()


def shown(run_dir: Path, role: str | None = None) -> list[str]:
    found = logs(run_dir, role, follow=False, tail=None, level=None)
    return [line.shown for line in found]


def test_the_command_line_shows_the_logs_of_pods(server: ValkeyServer, tmp_path: Path) -> None:
    write_run_dir(tmp_path)
    for pod in ("a", "b"):
        pass_on(
            server,
            tmp_path,
            "rollout",
            f"job-rollout-{pod}",
            f"2026-11-23T06:00:01Z rollout[0] info worker.started pod={pod}",
            f"engine [2026-11-23 06:00:02] Decode batch of {pod}",
        )
    pass_on(server, tmp_path, "buffer", "buffer-0", "2026-11-23T06:00:00Z buffer[0] info started")
    assert shown(tmp_path) == [
        "2026-11-23T06:00:00Z buffer[0] info started",
        "2026-11-23T06:00:01Z rollout[0] info worker.started pod=a",
        "2026-11-23T06:00:01Z rollout[0] info worker.started pod=b",
    ]
    assert shown(tmp_path, "engine") == [
        "engine[job-rollout-a] [2026-11-23 06:00:02] Decode batch of a",
        "engine[job-rollout-b] [2026-11-23 06:00:02] Decode batch of b",
    ]


def test_a_long_log_is_rotated(
    server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_logs, "_FILE_BYTES", 20)
    for number in range(6):
        pass_on(server, tmp_path, "rollout", "a", f"line number {number}")
    directory = tmp_path / "logs" / "pods" / "rollout" / "a"
    assert (directory / "stdout.log.1").read_text() == "line number 2\nline number 3\n"
    assert (directory / "stdout.log").read_text() == "line number 4\nline number 5\n"


def test_the_logs_of_pods_that_are_long_gone_go(
    server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_logs, "_MOST_PODS", 2)
    for age, pod in ((300, "a"), (100, "b"), (200, "c")):
        pass_on(server, tmp_path, "rollout", pod, "a line", "engine a line")
        directory = tmp_path / "logs" / "pods" / "rollout" / pod
        os.utime(directory, (directory.stat().st_mtime - age,) * 2)
    pods = tmp_path / "logs" / "pods" / "rollout"
    assert sorted(each.name for each in pods.iterdir()) == ["b", "c"]
    engines = (tmp_path / "logs").glob("engine-*.log")
    assert sorted(each.name for each in engines) == ["engine-b.log", "engine-c.log"]


@pytest.mark.parametrize(
    ("role", "member"), [("rollout", "../a"), ("rollout", ".."), ("cook", "a"), ("rollout", "")]
)
def test_names_that_are_none_write_nothing(
    server: ValkeyServer, tmp_path: Path, role: str, member: str
) -> None:
    pass_on(server, tmp_path, role, member, "a line")
    assert list(tmp_path.rglob("*")) == []


def test_a_volume_that_takes_nothing_stops_nothing(server: ValkeyServer, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("no directory")
    pass_on(server, tmp_path, "rollout", "a", "a line", "engine a line")
