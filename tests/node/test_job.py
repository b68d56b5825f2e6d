"""The sorting demo in real pods: it learns, loses what a cluster loses, and reaches its target.

The tests are steps of one run, in their order.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from rljob_trainer.checkpoints.checkpoint import Checkpoint, Checkpoints
from rljob_trainer.checkpoints.checksums import verify_checksums
from tests.node import matrix, operator
from tests.node.cluster import NodeCluster
from tests.node.command import rljob
from tests.node.sorting import SortingJob
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(900)

_START_SECONDS = 400  # on a machine that does much else; an engine loads in half a minute
_RECOVERY_SECONDS = 400
_TARGET = 0.9


@pytest.fixture(scope="module")
def job(demo: None, nodes: NodeCluster) -> Iterator[SortingJob]:
    """Without an end of its own, until the last test gives it one."""
    found = SortingJob(nodes)
    found.apply(schedule={"rollouts": 2000, "targetReward": None, "saveInterval": 5})
    yield found
    found.delete()


def test_it_trains(job: SortingJob, nodes: NodeCluster) -> None:
    job.reaches("Running", _START_SECONDS)
    job.until(lambda: job.rollout >= 3, "three batches", _START_SECONDS)
    assert {job.pods.restarts(role) for role in ("trainer", "rollout", "buffer", "router")} == {0}
    (row,) = nodes.kubectl("get", "rlj", "--no-headers").splitlines()
    name, phase, rollout, reward, version, replicas, _age = row.split()
    assert (name, phase, replicas) == (job.name, "Running", "2")
    assert rollout.endswith("/2000")
    assert 0 < float(reward) <= 1
    assert int(version) >= 3
    assert {"Accepted", "Started", "BufferReady", "TrainerReady", "RolloutReady"} <= job.events()


def test_kubectl_logs_have_the_engine(job: SortingJob, nodes: NodeCluster) -> None:
    pod = job.pods.of("rollout")[0]["metadata"]["name"]
    lines = nodes.kubectl("logs", pod).splitlines()
    assert any(line.startswith("engine ") for line in lines)
    assert any("worker.started" in line for line in lines)


def roll_out_a_bad_image(job: SortingJob, nodes: NodeCluster) -> None:
    """An image that is nowhere, taken back once a pod waits for it."""
    job.patch(rollout={"image": "missing.invalid/rollout:1"})
    job.until(
        lambda: "missing.invalid/rollout:1" in nodes.kubectl("get", "pods", "-o", "yaml"),
        "a pod with the image",
        60,
    )
    job.until(job.waits_for_an_image, "its pod waits for the image", 120)
    job.patch(rollout={"image": None})


def scale(job: SortingJob, nodes: NodeCluster) -> None:
    """To one rollout and back, by `kubectl scale`."""
    nodes.kubectl("scale", "rlj", job.name, "--replicas=1")
    job.until(lambda: len(job.pods.of("rollout")) == 1, "one rollout", 120)
    nodes.kubectl("scale", "rlj", job.name, "--replicas=2")


Fault = Callable[[SortingJob, NodeCluster], None]
FAULTS: dict[str, Fault] = {
    "an engine is killed": lambda job, _: job.pods.kill("rollout", "sglang::scheduler"),
    "a worker is killed": lambda job, _: job.pods.kill("rollout", "-m rljob_rollout"),
    "a rollout pod is deleted": lambda job, _: job.pods.delete("rollout"),
    "the trainer's process is killed": lambda job, _: job.pods.kill(
        "trainer", "rljob_trainer.rank"
    ),
    "the trainer's pod is deleted": lambda job, _: job.pods.delete("trainer"),
    "the buffer is killed": lambda job, _: job.pods.kill("buffer", "valkey-server"),
    "the buffer's pod is deleted, its volume goes": lambda job, _: job.pods.delete("buffer"),
    "the router's pod is deleted": lambda job, _: job.pods.delete("router"),
    "all pods of the operator are deleted": lambda _, nodes: operator.delete_pods(nodes),
    "the kubelet is killed": lambda _, nodes: nodes.machines[0].restart_kubelet(),
    "the API server is away for 15 s": lambda _, nodes: nodes.without_api_server(15),
}


# Those that take minutes, or are much like one above: `make test-faults-node`.
MORE_FAULTS: dict[str, Fault] = {
    "an engine hangs": lambda job, _: job.pods.kill("rollout", "sglang::scheduler", signal.SIGSTOP),
    "a rollout pod is evicted": lambda job, _: job.pods.evict("rollout"),
    "the trainer's pod is evicted": lambda job, _: job.pods.evict("trainer"),
    "an image that is nowhere is rolled out, and taken back": roll_out_a_bad_image,
    "the job is scaled to one rollout and back": scale,
    "the API server is away for 60 s": lambda _, nodes: nodes.without_api_server(60),
}


@pytest.mark.parametrize(
    "fault", [*FAULTS, *(pytest.param(each, marks=pytest.mark.faults) for each in MORE_FAULTS)]
)
def test_it_trains_on_by_itself_after(fault: str, job: SortingJob, nodes: NodeCluster) -> None:
    began = time.time()
    (FAULTS | MORE_FAULTS)[fault](job, nodes)
    recovers(job, fault, began)


def recovers(job: SortingJob, fault: str, began: float) -> None:
    """Returns once all is as before; notes for how long it was not."""
    # A batch may have been under way: the second one after the fault needed what was lost.
    job.until(lambda: len(job.trained_since(began)) >= 2, "two more batches", _RECOVERY_SECONDS)
    trained = job.trained_since(began)[1] - began
    job.until(job.is_whole, "both rollouts", _RECOVERY_SECONDS)
    matrix.note(matrix.Result(fault, trained, time.time() - began))


@pytest.mark.faults
def test_a_checkpoint_that_was_cut_short_does_not_count(job: SortingJob) -> None:
    partial = kill_in_a_save(job)
    began = time.time()
    checkpoints = Checkpoints(partial.parent, keep_last=2)
    before = checkpoints.all()[-1].rollout
    cut_short = Checkpoint(partial.with_suffix("")).rollout
    assert before < cut_short
    recovers(job, "the trainer's process is killed in the middle of a save", began)
    assert job.begun()[-1] == before
    job.until(lambda: checkpoints.all()[-1].rollout >= cut_short, "a save", _RECOVERY_SECONDS)
    assert not partial.exists()
    verify_checksums(checkpoints.all()[-1].path)
    assert "each once" in rljob("audit", job.volume)


def kill_in_a_save(job: SortingJob) -> Path:
    """Kills the trainer's process while it writes a checkpoint; what there is of it then.

    The process is stopped first, to look whether the save was still under way.
    """
    directory = job.volume / "checkpoints"
    rank = psutil.Process(job.pods.process("trainer", "rljob_trainer.rank"))
    found: list[Path] = []

    def begun() -> bool:
        with suppress(FileNotFoundError):  # just renamed
            found[:] = [path.parents[1] for path in directory.glob("step-*.partial/megatron/*")]
        return bool(found)

    job.until(lambda: bool(Checkpoints(directory, keep_last=2).all()), "one", _RECOVERY_SECONDS)
    while True:
        wait_for(lambda: not begun(), "nothing is left of earlier faults", _RECOVERY_SECONDS)
        wait_for(begun, "a checkpoint is begun", _RECOVERY_SECONDS, every=0.001)
        rank.suspend()
        wait_for(lambda: rank.status() == psutil.STATUS_STOPPED, "the trainer is stopped")
        if found[0].exists():
            rank.kill()
            return found[0]
        rank.resume()


@pytest.mark.faults
def test_the_autoscaler_adds_a_rollout_and_drains_it(job: SortingJob) -> None:
    """By the trainer's measurements: first it waits too long, then it may wait nearly always."""
    rate = {"mode": "Rate", "minReplicas": 1, "maxReplicas": 2, "scaleUpStabilizationSeconds": 0}
    rate |= {"scaleDownStabilizationSeconds": 5, "targetWaitShare": 0.9}
    job.patch(rollout={"replicas": 1, "autoscaling": rate})
    job.until(lambda: len(job.pods.of("rollout")) == 1, "one rollout", _RECOVERY_SECONDS)
    job.patch(rollout={"autoscaling": {"targetWaitShare": 0.05}})
    job.until(job.is_whole, "a second rollout with weights", _RECOVERY_SECONDS)
    assert "Scaled" in job.events()
    job.patch(rollout={"autoscaling": {"targetWaitShare": 0.9}})
    job.until(lambda: job.pods.ready("rollout") == 1, "it is drained", _RECOVERY_SECONDS)
    began = time.time()
    job.until(lambda: len(job.trained_since(began)) >= 2, "two more batches", _RECOVERY_SECONDS)
    job.patch(rollout={"replicas": 2, "autoscaling": {"mode": "Off"}})
    job.until(job.is_whole, "both rollouts", _RECOVERY_SECONDS)


def test_a_suspended_job_comes_back(job: SortingJob) -> None:
    before = job.rollout
    job.patch(suspend=True)
    job.reaches("Suspended", 120)
    job.until(job.is_at_rest, "its pods are gone", 120)
    job.patch(suspend=False)
    job.until(lambda: job.rollout > before, "a further batch", _RECOVERY_SECONDS)


def test_it_reaches_its_target_and_is_released(job: SortingJob) -> None:
    job.patch(schedule={"targetReward": _TARGET})
    job.reaches("Succeeded", 800)
    assert job.status["progress"]["reward"] >= _TARGET - 0.05
    job.until(job.is_at_rest, "its pods are gone", 120)
    assert "Succeeded" in job.events()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("audit", "the run has ended"),
        ("status", "finished"),
        ("report", "report.html"),
        ("logs", "rollout.done"),
    ],
)
def test_the_command_line_reads_the_volume(job: SortingJob, command: str, told: str) -> None:
    assert told in rljob(command, job.volume)


@pytest.mark.parametrize(
    ("role", "told"),
    [
        ("rollout", "worker.started"),
        ("engine", "fired up and ready"),
        ("buffer", "buffer.started"),
        ("router", "router"),
    ],
)
def test_the_volume_has_the_logs_of_all_roles(job: SortingJob, role: str, told: str) -> None:
    assert told in rljob("logs", job.volume, role)


def test_the_model_can_be_read_by_others(job: SortingJob) -> None:
    files = list((job.volume / "model").iterdir())
    assert any(file.suffix == ".safetensors" for file in files)
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in files)


def test_a_volume_that_cannot_be_written_fails_the_job_at_once(nodes: NodeCluster) -> None:
    nodes.add_claim_of_root("locked")
    job = SortingJob(nodes, "locked")
    job.apply(storage={"run": {"claimName": "locked"}})
    job.reaches("Failed", 200)
    assert "the volume belongs to uid 0" in job.failure
    assert "chown 65532:65532" in job.failure
    assert job.status.get("restarts", 0) == 0
    job.until(job.is_at_rest, "its pods are stopped", 120)
    # The pod that failed is kept, stopped, with its log.
    assert "chown 65532:65532" in nodes.kubectl("logs", "locked-trainer-0")
    job.delete()
    job.until(
        lambda: not nodes.kubectl("get", "pods", "-l", "rljob.dev/job=locked", "-o", "name"),
        "what was kept is gone",
        60,
    )


def test_a_new_job_of_the_same_name_does_not_take_over_the_run(job: SortingJob) -> None:
    job.delete()
    job.apply(schedule={"rollouts": 3, "targetReward": None})
    job.reaches("Failed", 200)
    assert "holds the run of job default/sort-digits" in job.failure
    assert "storage.run.claimName" in job.failure
    assert not job.status.get("progress", {}).get("rollout")
