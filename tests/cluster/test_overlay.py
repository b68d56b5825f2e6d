"""The overlay of pod templates matches kubectl's strategic merge and the API server's types."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rljob.api import RLJob
from rljob_operator.children import Want, children
from rljob_operator.children.overlay import MERGE_KEYS, merge
from rljob_operator.observed import Cluster, Ref
from tests.cluster.binaries import binaries
from tests.cluster.client import Client

pytestmark = pytest.mark.cluster
_SECONDS = 60
TEXT = st.sampled_from(["a", "b", "c"])


def base() -> dict[str, Any]:
    """The trainer's pod template of a job with most that one can have."""
    job = RLJob.model_validate(
        {
            "apiVersion": "rljob.dev/v1alpha1",
            "kind": "RLJob",
            "metadata": {"name": "math"},
            "spec": {
                "imagePullSecrets": ["a"],
                "model": {"checkpoint": "/models/a"},
                "data": {"prompts": ["/data/train.jsonl"]},
                "schedule": {"rollouts": 300},
                "network": {"rdma": {"resource": "rdma/hca"}},
                "storage": {"volumes": [{"name": "a", "claimName": "a", "mountPath": "/a"}]},
                "code": {"configMapRef": "a"},
            },
        }
    )
    cluster = Cluster(images={"trainer": "trainer:1", "rollout": "rollout:1"})
    made = {each.ref: each for each in children(job, "uid", Want(1, 1, 1, 1), cluster)}
    return dict(made[Ref("Deployment", "math-rollout")].manifest["spec"]["template"])


BASE = base()


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings with some of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


def items(key: str, keys: list[Any], **fields: Any) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Lists of mappings that a field tells apart."""
    item = st.fixed_dictionaries({key: st.sampled_from(keys)}, optional=fields)
    return st.lists(item, max_size=2, unique_by=lambda each: each[key])


def directed(key: str, keys: list[Any], **fields: Any) -> st.SearchStrategy[list[dict[str, Any]]]:
    """The same, where some items are deleted, or the whole list is replaced.

    kubectl reads such a directive only where the list was there before.
    """
    plain = items(key, keys, **fields)
    deleted = st.sets(st.sampled_from(keys), max_size=1)
    some = st.tuples(plain, deleted).map(
        lambda drawn: [
            *[item for item in drawn[0] if item[key] not in drawn[1]],
            *[{key: value, "$patch": "delete"} for value in drawn[1]],
        ]
    )
    whole = plain.map(lambda made: [*made, {"$patch": "replace"}])
    return st.one_of(plain, some, whole)


MAP = st.dictionaries(TEXT, TEXT | st.none(), max_size=2)
QUANTITIES = st.dictionaries(
    st.sampled_from(["memory", "nvidia.com/gpu"]), st.sampled_from(["1", "2Gi"]), max_size=2
)
TOLERATIONS = st.lists(objects(key=TEXT, effect=st.just("NoSchedule")), max_size=2)
TERM = objects(topologyKey=TEXT, namespaces=st.lists(TEXT, max_size=2))
LISTS: dict[str, dict[str, Any]] = {
    "env": {"key": "name", "keys": ["RLJOB_ROLE", "HOME", "a"], "value": TEXT},
    "ports": {"key": "containerPort", "keys": [9400, 1], "name": TEXT, "protocol": st.just("UDP")},
    "volumeMounts": {"key": "mountPath", "keys": ["/tmp", "/dev/shm", "/b"], "name": TEXT},
}
CONTAINER = {
    "image": TEXT,
    "workingDir": TEXT | st.none(),
    "args": st.lists(TEXT, max_size=2) | st.none(),
    "envFrom": st.lists(objects(prefix=TEXT), max_size=2),
    "resources": objects(limits=QUANTITIES, requests=QUANTITIES),
    "securityContext": objects(
        readOnlyRootFilesystem=st.booleans() | st.none(),
        capabilities=objects(drop=st.lists(TEXT, max_size=2)),
    ),
    "readinessProbe": objects(periodSeconds=st.integers(1, 9)) | st.none(),
}
NEW = {**CONTAINER, **{name: items(**fields) for name, fields in LISTS.items()}}
OWN = {**CONTAINER, **{name: directed(**fields) for name, fields in LISTS.items()}}
CONTAINERS = st.one_of(
    items("name", ["rollout", "a"], **NEW),
    items("name", ["rollout"], **OWN),
    items("name", ["rollout", "a"], **NEW).map(lambda made: [*made, {"$patch": "replace"}]),
)
VOLUME = objects(sizeLimit=st.just("1Gi"), medium=TEXT)
POD = objects(
    containers=CONTAINERS,
    initContainers=items("name", ["a", "b"], image=TEXT),
    volumes=directed("name", ["shm", "tmp", "a"], emptyDir=VOLUME),
    imagePullSecrets=directed("name", ["a", "b"]),
    hostAliases=items("ip", ["127.0.0.1"], hostnames=st.lists(TEXT, max_size=2)),
    topologySpreadConstraints=directed(
        "topologyKey", ["kubernetes.io/hostname", "a"], maxSkew=st.integers(1, 3)
    ),
    schedulingGates=items("name", ["a", "b"]),
    tolerations=TOLERATIONS | st.none(),
    nodeSelector=MAP,
    affinity=objects(
        podAffinity=objects(requiredDuringSchedulingIgnoredDuringExecution=st.lists(TERM)),
        nodeAffinity=st.none(),
    ),
    securityContext=objects(
        fsGroup=st.integers(0, 9) | st.none(),
        supplementalGroups=st.lists(st.integers(0, 9), max_size=2),
    ),
    priorityClassName=TEXT | st.none(),
    terminationGracePeriodSeconds=st.integers(0, 9),
)
OVERLAYS = objects(metadata=objects(labels=MAP, annotations=MAP | st.none()), spec=POD)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(overlay=OVERLAYS)
def test_a_merge_is_kubectls(tmp_path: Path, overlay: dict[str, Any]) -> None:
    theirs = kubectl_patch(tmp_path, BASE, overlay)
    assert plain(merge(BASE, overlay)) == plain(theirs)


def kubectl_patch(directory: Path, template: dict[str, Any], patch: dict[str, Any]) -> Any:
    """A pod template as kubectl patches it, without a cluster."""
    file = directory / "base.json"
    head = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "a"}}
    file.write_text(json.dumps({**head, "template": template}))
    arguments = ["--local", "--type=strategic", "-o=json", f"-f={file}"]
    result = subprocess.run(
        [binaries()["kubectl"], "patch", *arguments, "-p", json.dumps({"template": patch})],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["template"]


def plain(value: Any, name: str = "") -> Any:
    """Without what says nothing, and lists that are merged in the order of their keys."""
    if isinstance(value, dict):
        inner = {key: plain(part, key) for key, part in value.items()}
        return {key: part for key, part in inner.items() if part not in (None, {}, [])}
    if isinstance(value, list):
        parts = [plain(part) for part in value]
        key = MERGE_KEYS.get(name)
        return sorted(parts, key=lambda part: str(part[key])) if key else parts
    return value


def test_the_merge_keys_are_those_of_the_api_server(cluster: Client) -> None:
    types = cluster.request("GET", "/openapi/v2")["definitions"]
    root = "io.k8s.api.core.v1.PodTemplateSpec"
    found: dict[str, set[str | None]] = {}
    for name, merge_key in lists(types, root, set()):
        found.setdefault(name, set()).add(merge_key)
    merged = {name: keys for name, keys in found.items() if keys != {None}}
    # Lists of texts, and owners, which a template's pods get from their controller.
    del merged["finalizers"], merged["ownerReferences"]
    assert merged == {name: {key} for name, key in MERGE_KEYS.items()}


def lists(types: dict[str, Any], name: str, seen: set[str]) -> Iterator[tuple[str, str | None]]:
    """The lists inside a type, each with its merge key; "" for one of plain values."""
    if name in seen:
        return
    seen.add(name)
    for field, schema in types[name].get("properties", {}).items():
        if schema.get("type") == "array":
            strategy = schema.get("x-kubernetes-patch-strategy", "")
            merges = "merge" in strategy.split(",")
            yield field, schema.get("x-kubernetes-patch-merge-key", "") if merges else None
        for part in (schema, schema.get("items", {}), schema.get("additionalProperties", {})):
            if "$ref" in part:
                yield from lists(types, part["$ref"].rpartition("/")[2], seen)
