"""Changes by others to a job's children are undone, as far as the operator owns them."""

from collections.abc import Callable

import pytest

from tests.cluster.client import Manifest
from tests.cluster.fixtures import JobMaker
from tests.cluster.jobs import CLAIMS, PODS, WORKLOADS, Job
from tests.cluster.kubectl import kubectl

# What somebody changes in a child of each kind.
EDITS: dict[tuple[str, str], Manifest] = {
    ("apps/v1/statefulsets", "-trainer"): {"spec": {"replicas": 2}},
    ("apps/v1/statefulsets", "-buffer"): {"spec": {"replicas": 0}},
    ("apps/v1/deployments", "-rollout"): {
        "spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}
    },
    ("apps/v1/deployments", "-router"): {"spec": {"replicas": 3}},
    ("v1/services", "-buffer"): {"spec": {"selector": {"mine": "yes"}}},
    ("v1/configmaps", "-job"): {"data": {"job.json": "{}"}},
    ("v1/serviceaccounts", ""): {"metadata": {"labels": {"rljob.dev/job": "other"}}},
    ("networking.k8s.io/v1/networkpolicies", ""): {"spec": {"ingress": [{}]}},
    ("policy/v1/poddisruptionbudgets", "-trainer"): {"spec": {"maxUnavailable": 0}},
}
DELETED = [*EDITS, ("v1/services", "-trainer"), ("policy/v1/poddisruptionbudgets", "-rollout")]


@pytest.fixture
def job(new_job: JobMaker) -> Job:
    """One that runs."""
    made = new_job("math")
    made.run(rollout={"replicas": 2, "gpusPerReplica": 1, "router": {"enabled": True}})
    return made


def name(job: Job, suffix: str) -> str:
    return f"{job.name}{suffix}"


def test_an_edit_of_any_child_is_undone(job: Job) -> None:
    for (resource, suffix), change in EDITS.items():
        wanted = wish(job.client.get(resource, name(job, suffix)))
        job.client.patch(resource, name(job, suffix), change)
        job.until(restored(job, resource, suffix, wanted), f"{resource} {suffix} is as before")
    assert_rolled_back(job)


def restored(job: Job, resource: str, suffix: str, wanted: Manifest) -> Callable[[], bool]:
    return lambda: wish(job.client.find(resource, name(job, suffix)) or {}) == wanted


def wish(child: Manifest) -> Manifest:
    """What a child says that is not its state."""
    metadata = child.get("metadata", {})
    kept = {field: metadata.get(field) for field in ("labels", "ownerReferences")}
    parts = {field: child.get(field) for field in ("spec", "data")}
    annotation = metadata.get("annotations", {}).get("rljob.dev/applied")
    return {**kept, **parts, "applied": annotation}


def assert_rolled_back(job: Job) -> None:
    job.until(lambda: job.status["phase"] == "Running", "it runs")
    job.tells("Restored", f"{job.name}-rollout was changed by test")


def test_a_child_that_is_deleted_is_made_anew(job: Job) -> None:
    before = {
        (resource, suffix): job.client.get(resource, name(job, suffix))
        for resource, suffix in DELETED
    }
    for resource, suffix in DELETED:
        job.client.delete(resource, name(job, suffix), propagationPolicy="Background")
    for (resource, suffix), child in before.items():
        uid = child["metadata"]["uid"]

        def is_new(resource: str = resource, suffix: str = suffix, uid: str = uid) -> bool:
            found = job.client.find(resource, name(job, suffix))
            return found is not None and found["metadata"]["uid"] != uid

        job.until(is_new, f"{resource} {suffix} is there again")
    job.reaches("Running")
    job.tells("Restored", f"{job.name}-job was gone")


def test_kubectl_scale_and_edit_of_a_workload_are_undone(job: Job) -> None:
    run(job, "scale", "deployment", f"{job.name}-rollout", "--replicas=0")
    run(job, "scale", "statefulset", f"{job.name}-trainer", "--replicas=0")
    run(job, "set", "image", f"deployment/{job.name}-router", "router=other:1")
    run(
        job, "annotate", "deployment", f"{job.name}-router", "rljob.dev/applied=mine", "--overwrite"
    )
    job.until(lambda: [job.replicas(role) for role in WORKLOADS] == [1, 2, 1, 1], "as before")
    job.until(lambda: image(job, "router") != "other:1", "the image is as before")
    job.until(lambda: len(job.pods("trainer")) == 1, "the trainer is there")
    job.reaches("Running")
    job.tells("Restored", "was changed by kubectl")


def test_a_label_that_is_taken_away_comes_back(job: Job) -> None:
    """Though no watch tells of a child without it."""
    resource, service = "v1/services", name(job, "-trainer")
    uid = job.client.get(resource, service)["metadata"]["uid"]
    run(job, "label", "service", service, "rljob.dev/job-")
    job.until(
        lambda: labelled(job, resource, service) == (uid, job.name), "the same one has its label"
    )
    assert job.condition("Accepted")["status"] == "True"


def labelled(job: Job, resource: str, child: str) -> tuple[str, str]:
    metadata = job.client.get(resource, child)["metadata"]
    return metadata["uid"], metadata["labels"].get("rljob.dev/job", "")


def run(job: Job, *arguments: str) -> None:
    ran = kubectl(job.client.config, "--namespace", job.client.namespace, *arguments)
    assert ran.returncode == 0, ran.stderr


def image(job: Job, role: str) -> str:
    (container,) = job.workload(role)["spec"]["template"]["spec"]["containers"]
    return str(container["image"])


def test_what_the_operator_does_not_state_stays(job: Job) -> None:
    """Labels, annotations and a finalizer of others; a field that another sets besides."""
    marks = {"labels": {"mine": "yes"}, "annotations": {"mine": "yes"}}
    resource, rollout = WORKLOADS["rollout"], name(job, "-rollout")
    job.client.patch(resource, rollout, {"metadata": marks, "spec": {"minReadySeconds": 1}})
    # Something to do, after which it is all seen.
    job.client.patch(resource, rollout, {"spec": {"replicas": 7}})
    job.until(lambda: job.replicas("rollout") == 2, "as before")
    found = job.workload("rollout")
    assert found["metadata"]["labels"]["mine"] == found["metadata"]["annotations"]["mine"] == "yes"
    assert found["spec"]["minReadySeconds"] == 1


def test_keys_that_are_deleted_come_back_the_same(job: Job) -> None:
    (secret,) = job.client.list("v1/secrets", job.selector)
    job.client.delete("v1/secrets", secret["metadata"]["name"])
    # Secrets are not watched: whatever needs them brings them.
    job.client.delete(WORKLOADS["router"], name(job, "-router"))
    job.until(lambda: job.client.list("v1/secrets", job.selector), "it is there again")
    (again,) = job.client.list("v1/secrets", job.selector)
    assert again["data"] == secret["data"]


def test_a_claim_that_is_deleted_is_made_anew(new_job: JobMaker) -> None:
    job = new_job("math")
    job.create(suspend=True)
    job.reaches("Suspended")
    job.change(suspend=False)
    job.until(lambda: job.client.find(CLAIMS, name(job, "-run")), "its claim is there")
    job.change(suspend=True)
    job.until(lambda: job.pods() == [], "it rests")
    uid = job.client.get(CLAIMS, name(job, "-run"))["metadata"]["uid"]
    job.client.delete(CLAIMS, name(job, "-run"))
    job.until(lambda: not job.client.find(CLAIMS, name(job, "-run")), "nobody uses it: it goes")
    job.change(suspend=False)
    job.until(lambda: job.client.find(CLAIMS, name(job, "-run")), "there is a new one")
    assert job.client.get(CLAIMS, name(job, "-run"))["metadata"]["uid"] != uid


def test_a_pod_that_is_deleted_is_replaced_and_nothing_else_moves(job: Job) -> None:
    before = {role: job.uids(role) for role in WORKLOADS}
    lost = job.pod("rollout")
    (uid,) = {p["metadata"]["uid"] for p in job.pods("rollout") if p["metadata"]["name"] == lost}
    job.client.delete(PODS, lost)
    job.until(lambda: uid not in job.uids("rollout") and ready(job, "rollout") == 2, "a new one")
    assert len(job.uids("rollout") & before["rollout"]) == 1
    for role in ("trainer", "buffer", "router"):
        assert job.uids(role) == before[role]
    for role in ("trainer", "buffer"):
        job.client.delete(PODS, job.pod(role))
        job.until(
            lambda role=role: not job.uids(role) & before[role] and ready(job, role) == 1, role
        )
    job.reaches("Running")
    assert job.uids("router") == before["router"]


def ready(job: Job, role: str) -> int:
    found: int = job.workload(role)["status"].get("readyReplicas", 0)
    return found
