"""A drain in real pods: the rollout hands over unfinished responses, another one continues them."""

import re
from collections.abc import Iterator

import httpx
import pytest

from rljob_operator.names import METRICS_PORT
from tests.cluster.client import Manifest
from tests.node.cluster import NodeCluster
from tests.node.command import rljob
from tests.node.sorting import SortingJob

pytestmark = [pytest.mark.timeout(900), pytest.mark.faults]

_SECONDS = 400
_SAMPLES, _TOKENS = 8, 800  # of a group, of a sample: an engine needs seconds for them
_RUNNING = re.compile(r"^rljob_engine_running_requests ([\d.]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def job(demo: None, nodes: NodeCluster) -> Iterator[SortingJob]:
    """One with long responses, which trains."""
    job = SortingJob(nodes, "drained")
    sampling = {"temperature": 1.0, "maxResponseTokens": _TOKENS, "ignoreEos": True}
    job.apply(
        schedule={
            "rollouts": 2000,
            "targetReward": None,
            "evalInterval": None,
            "rolloutBatchSize": 4,
            "globalBatchSize": 4 * _SAMPLES,
            "stepsPerRollout": 1,
            "maxStaleness": 1,  # engines also work while the trainer does
        },
        rollout={"partial": True, "maxConcurrentGroups": 2, "sampling": sampling},
        evaluation=[],
    )
    job.until(lambda: job.rollout >= 1 and job.is_whole(), "a batch", _SECONDS)
    yield job
    job.delete()


def test_a_drained_rollout_hands_over_what_another_continues(
    job: SortingJob, nodes: NodeCluster
) -> None:
    before = job.pods.of("rollout")
    job.until(lambda: all(is_generating(pod) for pod in before), "both generate", _SECONDS)
    nodes.kubectl("scale", "rlj", job.name, "--replicas=1")
    job.until(lambda: len(job.pods.left()) == 4, "one rollout has ended", _SECONDS)
    (stays,) = (name(pod) for pod in job.pods.of("rollout"))
    (drained,) = {name(pod) for pod in before} - {stays}
    job.until(lambda: "worker.stopped" in log(job, drained), "its last words", _SECONDS)
    handed = tokens(log(job, drained), "group.given_back")
    assert handed
    assert max(handed.values()) < _SAMPLES * _TOKENS
    job.until(lambda: handed.keys() <= job.consumed().keys(), "they are trained on", _SECONDS)
    continued = tokens(log(job, stays), "group.continued")
    assert {group: continued.get(group) for group in handed} == handed
    assert {job.consumed()[group] for group in handed} == {_SAMPLES * _TOKENS}
    trained = job.rollout
    job.until(lambda: job.rollout >= trained + 2, "two more batches", _SECONDS)
    assert len(job.begun()) == 1  # the trainer goes on
    assert "each once" in rljob("audit", job.volume)


def name(pod: Manifest) -> str:
    return str(pod["metadata"]["name"])


def is_generating(pod: Manifest) -> bool:
    """Whether the pod's engine has samples under way, by the worker's metrics."""
    metrics = httpx.get(f"http://{pod['status']['podIP']}:{METRICS_PORT}/metrics").text
    found = _RUNNING.search(metrics)
    return found is not None and float(found[1]) > 0


def log(job: SortingJob, pod: str) -> str:
    """What a rollout has said, by the run volume."""
    return (job.volume / "logs" / "pods" / "rollout" / pod / "stdout.log").read_text()


def tokens(log: str, event: str) -> dict[int, int]:
    """Tokens of each group of which an event tells, without those that have none."""
    found = re.findall(rf"\b{re.escape(event)} group=(\d+) tokens=([1-9]\d*)", log)
    return {int(group): int(count) for group, count in found}
