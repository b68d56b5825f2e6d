"""External mode: a HorizontalPodAutoscaler on the scale subresource of an RLJob.

The HPA is kube-controller-manager's own; the metric comes from a server of this test. In
place of the operator, the test writes the current number of replicas into the status.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.client import Client, Manifest
from tests.cluster.crd import RESOURCE
from tests.cluster.metrics_server import MetricsServer
from tests.support.waiting import wait_for

METRIC = "rollouts-needed"
HPAS = "autoscaling/v2/horizontalpodautoscalers"
SECONDS = 90  # the HPA controller may have to learn of RLJobs first, every 30 s


def a_job() -> Manifest:
    autoscaling = {"mode": "External", "minReplicas": 1, "maxReplicas": 8}
    return {
        "apiVersion": "rljob.dev/v1alpha1",
        "kind": "RLJob",
        "metadata": {"name": "scaled"},
        "spec": {
            "model": {"checkpoint": "/models/tiny"},
            "data": {"prompts": ["/data/train.jsonl"]},
            "schedule": {"rollouts": 10, "rolloutBatchSize": 16, "globalBatchSize": 128},
            "rollout": {"replicas": 2, "autoscaling": autoscaling},
        },
    }


def an_hpa() -> Manifest:
    target = {"type": "AverageValue", "averageValue": "1"}
    metric = {"type": "External", "external": {"metric": {"name": METRIC}, "target": target}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "scaled"},
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "rljob.dev/v1alpha1",
                "kind": "RLJob",
                "name": "scaled",
            },
            "minReplicas": 1,
            "maxReplicas": 8,
            "metrics": [metric],
            "behavior": {
                "scaleUp": {"policies": [{"type": "Pods", "value": 8, "periodSeconds": 15}]},
                "scaleDown": {"stabilizationWindowSeconds": 0},
            },
        },
    }


@pytest.fixture
def metrics(cluster: Client, rljobs: None, tmp_path: Path) -> Iterator[MetricsServer]:
    server = MetricsServer(tmp_path)
    with server.serving(cluster):
        yield server


def wanted(client: Client) -> int:
    replicas: int = client.get(RESOURCE, "scaled")["spec"]["rollout"]["replicas"]
    return replicas


def scale(client: Client) -> Manifest:
    return client.request("GET", client.path(RESOURCE, "scaled", "scale"))


def there_are(client: Client, replicas: int) -> None:
    rollout = {"replicas": replicas, "selector": "rljob.dev/job=scaled,rljob.dev/role=rollout"}
    client.patch(RESOURCE, "scaled", {"status": {"rollout": rollout}}, subresource="status")


def condition(client: Client, name: str) -> Manifest:
    found = client.get(HPAS, "scaled").get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == name), {})


def test_an_hpa_raises_and_lowers_the_rollouts(cluster: Client, metrics: MetricsServer) -> None:
    cluster.create(a_job())
    there_are(cluster, 2)
    found = scale(cluster)
    assert (found["spec"]["replicas"], found["status"]["replicas"]) == (2, 2)
    assert found["status"]["selector"] == "rljob.dev/job=scaled,rljob.dev/role=rollout"

    metrics.values[METRIC] = "5"
    cluster.create(an_hpa())
    wait_for(lambda: wanted(cluster) == 5, "five replicas", SECONDS)
    there_are(cluster, 5)
    assert condition(cluster, "ScalingActive")["status"] == "True"

    metrics.values[METRIC] = "3"
    wait_for(lambda: wanted(cluster) == 3, "three replicas")
    there_are(cluster, 3)
    metrics.values[METRIC] = "100"
    wait_for(lambda: wanted(cluster) == 8, "no more than the most")


def test_without_its_metric_an_hpa_leaves_the_rollouts_alone(
    cluster: Client, metrics: MetricsServer
) -> None:
    cluster.create(a_job())
    there_are(cluster, 2)
    cluster.create(an_hpa())
    wait_for(
        lambda: condition(cluster, "ScalingActive").get("reason") == "FailedGetExternalMetric",
        "the HPA says that it has no metric",
        SECONDS,
    )
    assert wanted(cluster) == 2
