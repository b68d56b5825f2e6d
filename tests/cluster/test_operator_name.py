"""An object of someone else with the name of a child is never taken over."""

from typing import Any

from tests.cluster.client import Client, Manifest
from tests.cluster.crd import RESOURCE
from tests.cluster.jobs import a_job, eventually
from tests.cluster.operator import Operator

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
OTHERS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "a": ("v1/serviceaccounts", "ServiceAccount", "a", {}),
    "b": ("v1/services", "Service", "b-trainer", {"spec": {"ports": [{"port": 80}]}}),
    "c": ("v1/configmaps", "ConfigMap", "c-job", {"data": {"mine": "kept"}}),
    "d": ("v1/persistentvolumeclaims", "PersistentVolumeClaim", "d-run", {"spec": CLAIM}),
}
LABELS = {"mine": "yes"}


def test_it_is_named_and_left_alone(cluster: Client, operator: Operator) -> None:
    for job, (_, kind, name, body) in OTHERS.items():
        metadata = {"name": name, "labels": LABELS}
        cluster.create({"apiVersion": "v1", "kind": kind, "metadata": metadata, **body})
        cluster.create(a_job() | {"metadata": {"name": job}})
    for job, (resource, kind, name, _) in OTHERS.items():
        accepted = eventually(lambda job=job: refusal(cluster, job), f"{job} is refused")
        assert accepted["reason"] == "NameTaken"
        assert f"{kind} {name} exists already" in accepted["message"]
        left = cluster.get(resource, name)["metadata"]
        assert "ownerReferences" not in left
        assert left["labels"] == LABELS
    for job, (resource, _, name, _) in OTHERS.items():
        cluster.delete(resource, name)
        # Any look tries again; this one does not wait for the minute.
        eventually(lambda job=job: poke(cluster, job) == "Starting", f"{job} starts")


def refusal(cluster: Client, job: str) -> Manifest | None:
    """The condition Accepted, where it is False."""
    conditions = cluster.get(RESOURCE, job).get("status", {}).get("conditions", [])
    return next((c for c in conditions if (c["type"], c["status"]) == ("Accepted", "False")), None)


def poke(cluster: Client, job: str) -> str:
    """Changes a job a little; its phase."""
    found = cluster.get(RESOURCE, job)
    count = len(found["metadata"].get("annotations", {}))
    cluster.patch(RESOURCE, job, {"metadata": {"annotations": {f"poke{count}": ""}}})
    return str(found["status"]["phase"])
