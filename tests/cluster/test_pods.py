"""Nodes, pods and volumes behave as with a kubelet, as far as an operator can see."""

from typing import Any

import pytest

from tests.cluster import pod
from tests.cluster.client import Client, Manifest
from tests.support.waiting import wait_for

PODS = "v1/pods"


def manifest(name: str = "one", *, image: str = "image", **spec: Any) -> Manifest:
    container = {"name": "main", "image": image}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **spec},
    }


def condition(client: Client, name: str, kind: str) -> Manifest:
    found = client.get(PODS, name).get("status", {}).get("conditions", [])
    return next((item for item in found if item["type"] == kind), {})


def state(client: Client, name: str) -> Manifest:
    """Of the only container."""
    container: Manifest
    (container,) = client.get(PODS, name)["status"].get("containerStatuses", [{"state": {}}])
    return container


def wait_ready(client: Client, name: str) -> Manifest:
    wait_for(lambda: condition(client, name, "Ready").get("status") == "True", f"{name} is ready")
    return client.get(PODS, name)


@pytest.fixture
def running(cluster: Client) -> str:
    cluster.create(manifest())
    return str(wait_ready(cluster, "one")["metadata"]["name"])


def test_a_pod_becomes_ready_on_an_address_that_stays_here(cluster: Client) -> None:
    cluster.create(manifest())
    status = wait_ready(cluster, "one")["status"]
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("127.")


def test_a_pod_has_the_address_that_the_test_chose(cluster: Client) -> None:
    chosen = manifest()
    chosen["metadata"]["annotations"] = {"kwok.rljob.dev/ip": "127.12.3.4"}
    cluster.create(chosen)
    assert wait_ready(cluster, "one")["status"]["podIP"] == "127.12.3.4"


def test_a_held_pod_starts_when_it_is_let_go(cluster: Client) -> None:
    held = manifest()
    held["metadata"]["annotations"] = {"kwok.rljob.dev/hold": ""}
    cluster.create(held)
    cluster.create(manifest("other"))
    wait_ready(cluster, "other")
    assert cluster.get(PODS, "one")["status"]["phase"] == "Pending"
    cluster.patch(PODS, "one", {"metadata": {"annotations": {"kwok.rljob.dev/hold": None}}})
    wait_ready(cluster, "one")


def test_a_held_pod_does_not_finish_terminating(cluster: Client, running: str) -> None:
    cluster.patch(PODS, running, {"metadata": {"annotations": {"kwok.rljob.dev/hold": ""}}})
    cluster.delete(PODS, running)
    cluster.create(manifest("other"))
    wait_ready(cluster, "other")
    assert "deletionTimestamp" in cluster.get(PODS, running)["metadata"]
    cluster.patch(PODS, running, {"metadata": {"annotations": {"kwok.rljob.dev/hold": None}}})
    wait_for(lambda: cluster.find(PODS, running) is None, "the pod is gone")


def test_an_image_that_is_missing(cluster: Client) -> None:
    cluster.create(manifest(image="missing.invalid/image:1"))
    wait_for(lambda: "waiting" in state(cluster, "one")["state"], "the pull has failed")
    waiting = state(cluster, "one")["state"]["waiting"]
    assert waiting["reason"] == "ImagePullBackOff"
    assert "missing.invalid/image:1" in waiting["message"]
    assert condition(cluster, "one", "Ready")["status"] == "False"


def test_more_gpus_than_there_are(cluster: Client) -> None:
    container = {"name": "main", "image": "image", "resources": {"limits": {"nvidia.com/gpu": 99}}}
    cluster.create(manifest(containers=[container]))
    wait_for(lambda: bool(condition(cluster, "one", "PodScheduled")), "the scheduler has looked")
    scheduled = condition(cluster, "one", "PodScheduled")
    assert scheduled["reason"] == "Unschedulable"
    assert "Insufficient nvidia.com/gpu" in scheduled["message"]


def test_an_exit_code_with_its_message(cluster: Client, running: str) -> None:
    pod.terminate(cluster, running, 3, "no such checkpoint")
    ended = state(cluster, running)["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    assert ended["message"] == "no such checkpoint"
    assert condition(cluster, running, "Ready")["status"] == "False"
    assert condition(cluster, running, "PodScheduled")["status"] == "True"


def test_a_crash_loop_keeps_what_happened_before(cluster: Client, running: str) -> None:
    pod.kill_for_memory(cluster, running)
    pod.back_off(cluster, running)
    status = state(cluster, running)
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert status["lastState"]["terminated"]["exitCode"] == 137
    pod.restart(cluster, running)
    assert list(state(cluster, running)["state"]) == ["running"]
    assert state(cluster, running)["restartCount"] == 1
    assert condition(cluster, running, "Ready")["status"] == "True"


def test_an_evicted_pod_is_replaced_by_its_controller(cluster: Client) -> None:
    labels = {"app": "one"}
    spec = {**manifest()["spec"], "terminationGracePeriodSeconds": 0}
    cluster.create(
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "set"},
            "spec": {
                "serviceName": "set",
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
    )
    wait_for(lambda: cluster.find(PODS, "set-0") is not None, "the first pod is there")
    first = wait_ready(cluster, "set-0")["metadata"]["uid"]
    pod.evict(cluster, "set-0", "The node was low on resource: memory.")
    wait_for(lambda: _uid(cluster, "set-0") not in {None, first}, "a pod in its place")
    wait_ready(cluster, "set-0")


@pytest.mark.parametrize(("storage_class", "phase"), [("standard", "Bound"), ("none", "Pending")])
def test_a_claim_is_bound_if_its_class_is_there(
    cluster: Client, storage_class: str, phase: str
) -> None:
    cluster.create(claim("data", storage_class))
    cluster.create(claim("later", "standard"))
    claims = "v1/persistentvolumeclaims"
    wait_for(lambda: cluster.get(claims, "later")["status"]["phase"] == "Bound", "later is bound")
    wait_for(lambda: cluster.get(claims, "data")["status"]["phase"] == phase, f"data is {phase}")
    assert ("volumeName" in cluster.get(claims, "data")["spec"]) == (phase == "Bound")


def claim(name: str, storage_class: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": storage_class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def _uid(client: Client, name: str) -> str | None:
    found = client.find(PODS, name)
    return None if found is None else found["metadata"]["uid"]
