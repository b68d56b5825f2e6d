"""Two nodes in real pods: one loses its power while a job trains on both."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.node import matrix
from tests.node.cluster import NodeCluster
from tests.node.command import rljob
from tests.node.machine import Machine
from tests.node.sorting import SortingJob

pytestmark = [pytest.mark.timeout(900), pytest.mark.faults]

_SECONDS = 400
_HOST = "kubernetes.io/hostname"


@pytest.fixture(scope="module")
def second(demo: None, nodes: NodeCluster) -> Machine:
    return nodes.add_node()


@pytest.fixture(scope="module")
def job(second: Machine, nodes: NodeCluster) -> Iterator[SortingJob]:
    """One rollout on each node, all else on the first."""
    first = {"spec": {"nodeSelector": {_HOST: nodes.machines[0].name}}}
    job = SortingJob(nodes, "spread")
    job.apply(
        schedule={"rollouts": 2000, "targetReward": None},
        trainer={"template": first},
        buffer={"template": first},
        rollout={"template": {"spec": apart(job.name)}, "router": {"template": first}},
    )
    job.until(lambda: job.rollout >= 3 and job.is_whole(), "three batches", _SECONDS)
    yield job
    job.delete()


def apart(job: str) -> dict[str, Any]:
    """On different nodes if that is possible, and replaced 5 s after a node is known to be lost."""
    labels = {"matchLabels": {"rljob.dev/job": job, "rljob.dev/role": "rollout"}}
    term = {"topologyKey": _HOST, "labelSelector": labels}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    lost = ("not-ready", "unreachable")
    return {
        "affinity": {
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
        },
        "tolerations": [
            {
                "key": f"node.kubernetes.io/{taint}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 5,
            }
            for taint in lost
        ],
    }


def hosts(job: SortingJob) -> list[str]:
    """The node of each rollout; empty where it is not scheduled yet."""
    return sorted(pod["spec"].get("nodeName", "") for pod in job.pods.of("rollout"))


def test_training_continues_without_a_node_that_stays_away(
    job: SortingJob, second: Machine, nodes: NodeCluster
) -> None:
    first = nodes.machines[0]
    assert hosts(job) == [first.name, second.name]
    began = time.time()
    second.crash()
    job.until(lambda: len(job.trained_since(began)) >= 2, "two more batches", _SECONDS)
    trained = job.trained_since(began)[1] - began
    job.until(
        lambda: hosts(job) == [first.name] * 2 and job.is_whole(), "another rollout", _SECONDS
    )
    fault = "a node with a rollout loses its power, and stays away"
    matrix.note(matrix.Result(fault, trained, time.time() - began))


def test_a_node_that_comes_back_takes_no_part_in_what_was_replaced(
    job: SortingJob, second: Machine
) -> None:
    second.start()
    job.until(lambda: len(job.pods.left()) == 5, "the lost pod is gone", _SECONDS)
    before = job.rollout
    job.until(lambda: job.rollout >= before + 3 and job.is_whole(), "three batches", _SECONDS)
    assert "each once" in rljob("audit", job.volume)
