"""Two pods of the trainer: launchers with their own ranks on loopback addresses."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from rljob.api import RLJob
from rljob.errors import EXIT_USAGE
from rljob.plan.environment import RoleEnvironment
from rljob_trainer.process.again import AGAIN
from tests.support.valkey import free_port
from tests.support.waiting import wait_for
from tests.trainer.pod import WRONG

MODULE = "tests.trainer.pod"
_SECONDS = 90  # to begin or to end, on a machine that does much else
RANKS = range(2)
JOB = RLJob.model_validate(
    {
        "apiVersion": "rljob.dev/v1alpha1",
        "kind": "RLJob",
        "metadata": {"name": "pods"},
        "spec": {
            "model": {"checkpoint": "/nowhere"},
            "data": {"prompts": ["/nowhere.jsonl"]},
            "schedule": {"rollouts": 1},
            "trainer": {"replicas": 2, "gpusPerReplica": 1},
        },
    }
)


class Pods:
    """Two pods, which may be started and ended one by one."""

    def __init__(self, directory: Path) -> None:
        self.run_dir = directory
        (directory / "job.json").write_text(JOB.model_dump_json(by_alias=True))
        self._port = free_port()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._ranks: list[psutil.Process] = []

    def start(self, *replicas: int, linger: bool = False) -> None:
        for replica in replicas:
            environment = RoleEnvironment(
                role="trainer",
                replica=replica,
                job_file=str(self.run_dir / "job.json"),
                run_dir=str(self.run_dir),
                buffer_url="redis://127.0.0.1:1/0",
                engine_api_key="key",
                metrics_port=0,
                router_port=1,
                host=f"127.0.0.{replica + 1}",
                rendezvous=f"127.0.0.1:{self._port}",
                termination_file=str(self.reason(replica)),
                linger=linger,
            )
            with (self.run_dir / f"pod-{replica}.log").open("ab") as output:
                self._running[replica] = subprocess.Popen(
                    [sys.executable, "-m", MODULE, MODULE],
                    env={**os.environ, **environment.to_env(), "OMP_NUM_THREADS": "1"},
                    stdout=output,
                    stderr=output,
                )

    def reason(self, replica: int) -> Path:
        """Where a pod leaves the reason of its failure."""
        return self.run_dir / f"reason-{replica}"

    def until_running(self) -> dict[int, tuple[int, int]]:
        """The pod and the process of each rank, once all run; their files are taken away."""
        files = [self.run_dir / f"rank-{number}" for number in RANKS]
        wait_for(lambda: all(file.exists() for file in files), "all run", seconds=_SECONDS)
        found = {}
        for number, file in enumerate(files):
            pod, _, pid = file.read_text().partition(" ")
            found[number] = int(pod), int(pid)
            self._ranks.append(psutil.Process(int(pid)))
            file.unlink()
        return found

    def signal(self, replica: int, number: signal.Signals) -> None:
        self._running[replica].send_signal(number)

    def ended(self, *replicas: int) -> list[int]:
        """Their exit codes, once they have ended."""
        return [self._running[replica].wait(_SECONDS) for replica in replicas]

    def saved(self) -> list[bool]:
        """Of each rank, whether it has stopped in order."""
        return [(self.run_dir / f"saved-{number}").exists() for number in RANKS]

    def output(self) -> str:
        return "\n".join(file.read_text() for file in self.run_dir.glob("*.log"))

    def kill(self) -> None:
        for process in self._running.values():
            if process.poll() is None:
                self._ranks += psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.wait()
        for rank in self._ranks:
            with suppress(psutil.NoSuchProcess):
                rank.kill()


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Pods]:
    found = Pods(tmp_path)
    yield found
    found.kill()


def test_rank_0_is_in_the_first_pod_and_a_stop_of_one_stops_both(pods: Pods) -> None:
    pods.start(1)  # pods come in any order
    pods.start(0)
    assert {number: pod for number, (pod, _) in pods.until_running().items()} == {0: 0, 1: 1}
    pods.signal(1, signal.SIGTERM)
    assert pods.ended(0, 1) == [0, 0]
    assert pods.saved() == [True, True]


def test_a_rank_that_is_lost_ends_both_and_they_begin_again(pods: Pods) -> None:
    pods.start(0, 1)
    _, pid = pods.until_running()[1]
    os.kill(pid, signal.SIGKILL)
    assert pods.ended(0, 1) == [1, 1]
    assert pods.reason(1).read_text().startswith("rank 1 was killed by SIGKILL; the kernel")
    assert "the trainer's pod 1 has ended" in pods.reason(0).read_text()
    pods.start(0, 1)
    pods.until_running()
    pods.signal(0, signal.SIGTERM)
    assert pods.ended(0, 1) == [0, 0]


def test_a_pod_that_comes_back_ends_the_ranks_of_the_other(pods: Pods) -> None:
    pods.start(0, 1)
    _, pid = pods.until_running()[1]
    # As its node would be lost: nobody says a word.
    os.kill(pid, signal.SIGSTOP)
    pods.signal(1, signal.SIGKILL)
    pods.ended(1)
    pods.start(1)
    assert pods.ended(0) == [1]
    os.kill(pid, signal.SIGKILL)
    assert "the trainer's pod 1 has ended" in pods.reason(0).read_text()
    pods.start(0)
    pods.until_running()


def test_in_a_cluster_a_pod_does_not_fail_because_another_does(pods: Pods) -> None:
    pods.start(0, 1, linger=True)
    _, pid = pods.until_running()[1]
    os.kill(pid, signal.SIGKILL)
    assert pods.ended(0, 1) == [AGAIN, 1]
    assert pods.reason(0).read_text() == ""
    pods.start(0, 1, linger=True)
    pods.until_running()
    pods.signal(1, signal.SIGTERM)
    assert pods.ended(0, 1) == [AGAIN, 0]
    assert pods.saved() == [True, True]


def test_a_mistake_of_the_users_ends_both_as_such(pods: Pods) -> None:
    pods.start(0, 1)
    pods.until_running()
    (pods.run_dir / WRONG).touch()
    assert EXIT_USAGE in pods.ended(0, 1)
    assert "spec.data.prompts: found nothing" in pods.reason(0).read_text()


@pytest.mark.parametrize("replica", RANKS)
def test_one_that_waits_for_the_other_can_be_stopped(pods: Pods, replica: int) -> None:
    pods.start(replica)
    wait_for(lambda: "peers.waiting" in pods.output(), "it waits", seconds=_SECONDS)
    pods.signal(replica, signal.SIGTERM)
    assert pods.ended(replica) == [0]
