"""The life of a job on a real control plane, with the operator as a process of its own."""

import time
from collections.abc import Callable
from typing import Any

from tests.cluster.client import Client
from tests.cluster.crd import RESOURCE
from tests.cluster.operator import Operator
from tests.cluster.trainer import Trainer

_SECONDS = 60.0


def a_job(**sections: Any) -> dict[str, Any]:
    """A manifest of the test's namespace; `sections` replace those of the spec."""
    spec: dict[str, Any] = {
        "model": {"checkpoint": "/models/tiny"},
        "data": {"prompts": ["/data/train.jsonl"]},
        "schedule": {"rollouts": 10, "rolloutBatchSize": 16, "globalBatchSize": 128},
        "trainer": {"gpusPerReplica": 1},
        "rollout": {"replicas": 2, "gpusPerReplica": 1},
        **sections,
    }
    return {
        "apiVersion": "rljob.dev/v1alpha1",
        "kind": "RLJob",
        "metadata": {"name": "math"},
        "spec": spec,
    }


def eventually(condition: Callable[[], Any], what: str = "") -> Any:
    """The condition's value once it is true; AssertionError after a minute."""
    until = time.monotonic() + _SECONDS
    while not (found := condition()):
        assert time.monotonic() < until, what or "it does not come about"
        time.sleep(0.1)
    return found


def status(cluster: Client) -> dict[str, Any]:
    """Of the job."""
    found: dict[str, Any] = cluster.get(RESOURCE, "math").get("status", {})
    return found


def test_a_job_runs_and_completes(
    cluster: Client, operator: Operator, trainer_pod: Trainer
) -> None:
    template = trainer_pod.template
    cluster.create(a_job(trainer={"gpusPerReplica": 1, "template": template}))
    eventually(lambda: status(cluster).get("phase") == "Starting")
    trainer_pod.say(phase="running", rollout=3, rollouts=10, engines=2, weight_version=3)
    eventually(lambda: status(cluster).get("phase") == "Running")
    eventually(lambda: status(cluster)["progress"]["display"] == "3/10")
    trainer_pod.say(phase="finished", rollout=10, reward=0.9)
    eventually(lambda: status(cluster)["phase"] == "Succeeded")
    eventually(lambda: cluster.list("v1/pods", "rljob.dev/job=math") == [])
    assert operator.errors() == 0
