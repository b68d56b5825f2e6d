"""Names, labels and owners of the children."""

import json

import pytest

from rljob.api import RLJob
from rljob_operator import names
from rljob_operator.children import Want
from rljob_operator.children.wanted import digest
from rljob_operator.observed import Cluster, Ref
from tests.operator_.children.subject import (
    CLUSTER,
    UID,
    a_job,
    children_of,
    manifest,
    minimal,
    templates,
)

ALL = Cluster(
    kinds=frozenset({"monitoring.coreos.com/PodMonitor", "scheduling.volcano.sh/PodGroup"}),
    key=CLUSTER.key,
    images=CLUSTER.images,
)
COMPLETE = a_job(gang={"scheduler": "volcano"}, buffer={"persistence": {}})


def test_the_children_in_the_order_in_which_they_are_applied() -> None:
    assert list(children_of(COMPLETE, cluster=ALL)) == [
        ("ServiceAccount", "math"),
        ("Secret", f"math-keys-{UID[:8]}"),
        ("ConfigMap", "math-job"),
        ("NetworkPolicy", "math"),
        ("PersistentVolumeClaim", "math-run"),
        ("PodGroup", "math"),
        ("Service", "math-buffer"),
        ("StatefulSet", "math-buffer"),
        ("Service", "math-trainer"),
        ("StatefulSet", "math-trainer"),
        ("Deployment", "math-rollout"),
        ("Service", "math-router"),
        ("Deployment", "math-router"),
        ("PodDisruptionBudget", "math-trainer"),
        ("PodDisruptionBudget", "math-rollout"),
        ("PodMonitor", "math"),
    ]


@pytest.mark.parametrize(
    ("job", "missing"),
    [
        (minimal(buffer={"external": {"url": "redis://redis:6379"}}), "math-buffer"),
        (minimal(rollout={"router": {"enabled": False}}), "math-router"),
        (minimal(storage={"run": {"claimName": "runs"}}), "math-run"),
        (minimal(colocate=True), "math-rollout"),
    ],
)
def test_what_a_job_does_without_is_not_made(job: RLJob, missing: str) -> None:
    assert missing in {ref.name for ref in children_of(minimal())}
    assert missing not in {ref.name for ref in children_of(job)}


def test_the_job_owns_its_children() -> None:
    for ref, wanted in children_of(COMPLETE, cluster=ALL).items():
        owners = wanted.manifest["metadata"].get("ownerReferences", [])
        if ref == ("PersistentVolumeClaim", "math-run"):
            assert owners == []  # checkpoints stay when the job is deleted
            continue
        assert owners == [
            {
                "apiVersion": "rljob.dev/v1alpha1",
                "kind": "RLJob",
                "name": "math",
                "uid": UID,
                "controller": True,
            }
        ]


def test_a_claim_goes_with_the_job_where_it_says_so() -> None:
    job = minimal(storage={"run": {"onDelete": "Delete", "size": "1Ti", "storageClass": "fast"}})
    claim = children_of(job)[Ref("PersistentVolumeClaim", "math-run")]
    assert claim.once
    assert claim.manifest["metadata"]["ownerReferences"][0]["uid"] == UID
    assert claim.manifest["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Ti"}},
        "storageClassName": "fast",
    }
    for several in ({"trainer": {"replicas": 2}}, {"weights": {"transport": "disk"}}):
        shared = manifest(minimal(**several), "PersistentVolumeClaim", "math-run")
        assert shared["spec"]["accessModes"] == ["ReadWriteMany"]


def test_every_child_is_found_by_the_label_of_its_job() -> None:
    for wanted in children_of(COMPLETE, cluster=ALL).values():
        metadata = wanted.manifest["metadata"]
        assert metadata["namespace"] == "team"
        assert metadata["labels"][names.LABEL_JOB] == "math"
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == names.MANAGER


def test_a_workload_finds_its_pods_and_no_others() -> None:
    made = children_of(COMPLETE)
    selectors = {}
    for ref, wanted in made.items():
        if ref.kind not in ("StatefulSet", "Deployment"):
            continue
        spec = wanted.manifest["spec"]
        selectors[ref.name] = spec["selector"]["matchLabels"]
        labels = spec["template"]["metadata"]["labels"]
        assert selectors[ref.name].items() <= labels.items()
    assert len({json.dumps(each) for each in selectors.values()}) == 4
    for role in ("trainer", "buffer", "router"):
        service = made[Ref("Service", f"math-{role}")].manifest["spec"]
        assert service["selector"] == selectors[f"math-{role}"]
        ports = templates(COMPLETE)[role]["spec"]["containers"][0]["ports"]
        for port in service["ports"]:
            assert {"name": port["targetPort"], "containerPort": port["port"]} in ports
    for role in ("trainer", "rollout"):
        budget = made[Ref("PodDisruptionBudget", f"math-{role}")].manifest["spec"]
        assert budget["selector"]["matchLabels"] == selectors[f"math-{role}"]


def test_the_hash_is_of_the_manifest_without_it() -> None:
    for wanted in children_of(COMPLETE, cluster=ALL).values():
        metadata = dict(wanted.manifest["metadata"])
        annotations = dict(metadata.pop("annotations"))
        applied = annotations.pop(names.ANNOTATION_APPLIED)
        if annotations:
            metadata["annotations"] = annotations
        assert applied == wanted.applied == digest({**wanted.manifest, "metadata": metadata})


def test_replicas_are_those_that_are_wanted() -> None:
    made = children_of(a_job(), replicas=Want(trainer=0, rollout=3, buffer=1, router=0))
    found = {
        ref.name: wanted.manifest["spec"]["replicas"]
        for ref, wanted in made.items()
        if ref.kind in ("StatefulSet", "Deployment")
    }
    assert found == {"math-trainer": 0, "math-rollout": 3, "math-buffer": 1, "math-router": 0}


def test_the_longest_name_fits_its_children() -> None:
    """63 characters: a pod's label has the name of its StatefulSet and a hash of 11."""
    job = a_job()
    long = job.model_copy(
        update={"metadata": job.metadata.model_copy(update={"name": "a" + "b" * 39})}
    )
    for ref in children_of(long, cluster=ALL):
        assert len(ref.name) <= (52 if ref.kind in ("StatefulSet", "Service") else 63)


def test_the_monitor_is_made_where_prometheus_operator_is() -> None:
    assert Ref("PodMonitor", "math") not in children_of(minimal())
    spec = manifest(minimal(), "PodMonitor", "math", cluster=ALL)["spec"]
    assert spec["selector"]["matchLabels"] == {"rljob.dev/job": "math"}
    assert spec["jobLabel"] == "rljob.dev/job"
    (roles,) = spec["selector"]["matchExpressions"]
    # The others serve no metrics: their targets would be down.
    assert roles["key"] == "rljob.dev/role"
    assert sorted(roles["values"]) == ["rollout", "trainer"]
    (endpoint,) = spec["podMetricsEndpoints"]
    for template in templates(minimal()).values():
        ports = template["spec"]["containers"][0]["ports"]
        assert {"name": endpoint["port"], "containerPort": 9400} in ports
