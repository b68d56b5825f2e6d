"""The CRD in kubectl: explanations, columns, names, the scale subresource."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rljob_operator.crd.definition import object_schema
from tests.cluster.client import Client, Manifest
from tests.cluster.crd import RESOURCE
from tests.cluster.kubectl import kubectl
from tests.support.waiting import wait_for

pytestmark = pytest.mark.usefixtures("rljobs")

JOB: Manifest = {
    "apiVersion": "rljob.dev/v1alpha1",
    "kind": "RLJob",
    "metadata": {"name": "math"},
    "spec": {
        "model": {"checkpoint": "/models/Qwen3-4B"},
        "data": {"prompts": ["/data/train.jsonl"]},
        "schedule": {"rollouts": 300},
        "rollout": {"replicas": 2},
    },
}
STATUS = {
    "phase": "Running",
    "progress": {"rollout": 12, "rollouts": 300, "display": "12/300", "reward": 0.625},
    "weights": {"version": 13},
    "rollout": {"replicas": 2, "selector": "rljob.dev/job=math,rljob.dev/role=rollout"},
}


def run(cluster: Client, *arguments: str) -> str:
    """What kubectl prints, which must work."""
    ran = kubectl(cluster.config, "--namespace", cluster.namespace, *arguments)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def parts(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The parts of a schema that have fields, as `kubectl explain` names them."""
    if "properties" in schema:
        yield path, schema["properties"]
    for name, field in schema.get("properties", {}).items():
        yield from parts(field.get("items", field), f"{path}.{name}")


PARTS = {path: fields for path, fields in parts(object_schema()) if path and path != ".metadata"}


@pytest.fixture(scope="module")
def explained(control_plane: Any, rljobs: None) -> dict[str, str]:
    """What `kubectl explain` says of each part of the CRD, on one line."""

    def explain(path: str) -> tuple[str, str]:
        ran = kubectl(control_plane.kubeconfig, "explain", f"rljob{path}")
        return path, " ".join((ran.stdout + ran.stderr).split())

    # The API server makes its documentation known a moment after the kind itself.
    wait_for(lambda: "Batches" in explain(".spec.schedule")[1], "the CRD is explained")
    with ThreadPoolExecutor(4) as pool:
        return dict(pool.map(explain, PARTS))


@pytest.mark.parametrize("path", PARTS)
def test_explain_describes_each_field(explained: dict[str, str], path: str) -> None:
    said = explained[path]
    assert re.search(r" DESCRIPTION: \w", said)
    for name, field in PARTS[path].items():
        description = " ".join(field["description"].split())
        assert re.search(rf" {name} <[^>]+>.* {re.escape(description)}", said), name


@pytest.mark.usefixtures("explained")
def test_explain_of_the_schedule(cluster: Client) -> None:
    said = " ".join(run(cluster, "explain", "rljob.spec.schedule").split())
    assert "The batch equation is rolloutBatchSize x samplesPerPrompt = " in said
    assert "rollouts <integer> -required- Number of rollout batches to train on." in said
    assert "rolloutBatchSize <integer> Prompts per rollout batch. Default: 16." in said


@pytest.mark.usefixtures("explained")
def test_explain_of_the_whole(cluster: Client) -> None:
    said = run(cluster, "explain", "rljob", "--recursive")
    found = set(re.findall(r"^ +(\w+)\t<", said, flags=re.MULTILINE))
    assert {name for fields in PARTS.values() for name in fields} <= found


def test_columns(cluster: Client) -> None:
    cluster.create(JOB)
    status = {**STATUS, "reason": "QuotaExceeded"}
    cluster.patch(RESOURCE, "math", {"status": status}, subresource="status")
    for name in ("rlj", "rljobs", "rljob", "rljobs.rljob.dev"):
        head, row = run(cluster, "get", name).splitlines()
        assert " ".join(head.split()) == ("NAME PHASE REASON ROLLOUT REWARD VERSION REPLICAS AGE")
        told = ["math", "Running", "QuotaExceeded", "12/300", "0.625", "13", "2"]
        assert row.split()[:-1] == told
        assert re.fullmatch(r"\d+s", row.split()[-1])


def test_columns_of_a_job_without_a_status(cluster: Client) -> None:
    cluster.create(JOB)
    _, row = run(cluster, "get", "rlj").splitlines()
    assert row.split()[0] == "math"


@pytest.mark.parametrize("category", ["all", "rljob"])
def test_categories(cluster: Client, category: str) -> None:
    cluster.create(JOB)
    assert "rljob.rljob.dev/math" in run(cluster, "get", category, "--output", "name")


def test_scale(cluster: Client) -> None:
    cluster.create(JOB)
    cluster.patch(RESOURCE, "math", {"status": STATUS}, subresource="status")
    run(cluster, "scale", "rlj/math", "--current-replicas=2", "--replicas=5")
    assert cluster.get(RESOURCE, "math")["spec"]["rollout"]["replicas"] == 5
    scale = cluster.request("GET", cluster.path(RESOURCE, "math", "scale"))
    assert scale["spec"] == {"replicas": 5}
    assert scale["status"] == {"replicas": 2, "selector": STATUS["rollout"]["selector"]}


def test_no_scale_to_what_the_manifest_does_not_allow(cluster: Client) -> None:
    cluster.create(JOB)
    ran = kubectl(cluster.config, "-n", cluster.namespace, "scale", "rlj/math", "--replicas=0")
    assert ran.returncode != 0
    assert "spec.rollout.replicas" in ran.stderr
    assert cluster.get(RESOURCE, "math")["spec"]["rollout"]["replicas"] == 2


def test_what_is_observed_is_not_written_with_the_rest(cluster: Client) -> None:
    cluster.create({**JOB, "status": STATUS})
    assert "status" not in cluster.get(RESOURCE, "math")
