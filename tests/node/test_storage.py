"""Volumes in real pods: a buffer that keeps its data, a run volume without space."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.cluster import NodeCluster
from tests.node.command import rljob
from tests.node.place import DIRECTORY
from tests.node.sorting import SortingJob

pytestmark = [pytest.mark.timeout(900), pytest.mark.faults]

_SECONDS = 400
_DISK = "small"
_MEGABYTES = 64


@pytest.fixture(scope="module")
def disk(demo: None, nodes: NodeCluster) -> Path:
    """The run volume, as the node has it."""
    return nodes.add_small_claim(_DISK, _MEGABYTES)


@pytest.fixture(scope="module")
def job(disk: Path, nodes: NodeCluster) -> Iterator[SortingJob]:
    """One with a small run volume and a persistent buffer, which trains."""
    job = SortingJob(nodes, "stored")
    job.apply(
        schedule={"rollouts": 2000, "targetReward": None, "saveInterval": 1, "keepLast": 1},
        storage={"run": {"claimName": _DISK}},
        buffer={"persistence": {"size": "1Gi"}},
        rollout={"replicas": 1},
    )
    job.until(lambda: job.rollout >= 3, "three batches", _SECONDS)
    yield job
    job.delete()


def test_a_buffer_with_a_volume_comes_back_with_its_data(
    job: SortingJob, nodes: NodeCluster
) -> None:
    before = job.rollout
    job.pods.delete("buffer")
    job.until(lambda: job.rollout >= before + 5, "further batches", _SECONDS)
    assert "buffer.lost" not in nodes.kubectl("logs", f"{job.name}-trainer-0")


def test_a_full_run_volume_is_told_and_nothing_is_lost(
    job: SortingJob, disk: Path, nodes: NodeCluster
) -> None:
    node = nodes.machines[0]
    node.run("bash", "-c", f"cat /dev/zero > {disk}/filler || true")
    job.until(lambda: "No space left on device" in told(job, nodes), "the reason is told", _SECONDS)
    assert job.status["phase"] != "Failed"
    node.run("rm", disk / "filler")
    before = job.rollout
    job.until(lambda: job.rollout >= before + 3, "further batches", _SECONDS)


def told(job: SortingJob, nodes: NodeCluster) -> str:
    return nodes.kubectl("describe", "rlj", job.name)


def test_the_audit_finds_nothing_amiss(job: SortingJob, disk: Path, nodes: NodeCluster) -> None:
    job.patch(suspend=True)
    job.until(job.is_at_rest, "its pods are gone", 120)
    copy = DIRECTORY / "copy"
    nodes.machines[0].run("cp", "-r", disk, copy)  # only the node sees what is mounted there
    assert "each once" in rljob("audit", copy)
