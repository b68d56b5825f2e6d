"""The children of jobs pass a real API server's strict validation, in a restricted namespace."""

import copy
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from ruamel.yaml import YAML

from rljob.api import RLJob
from rljob.api.review import review
from rljob_operator import names
from rljob_operator.children import Want, Wanted, children
from rljob_operator.observed import Cluster
from tests.cluster import crd
from tests.cluster.client import ApiError, Client, Manifest
from tests.cluster.control_plane import ControlPlane
from tests.support.corpus import CORPUS, REPOSITORY, valid

CLUSTER = Cluster(
    kinds=frozenset(
        {
            "monitoring.coreos.com/PodMonitor",
            "scheduling.volcano.sh/PodGroup",
            "scheduling.x-k8s.io/PodGroup",
        }
    ),
    key=b"key",
    images={"trainer": "trainer:1", "rollout": "rollout:1"},
)
FOREIGN = "someone-else"
RESOURCES = {
    "ServiceAccount": "v1/serviceaccounts",
    "Secret": "v1/secrets",
    "ConfigMap": "v1/configmaps",
    "Service": "v1/services",
    "PersistentVolumeClaim": "v1/persistentvolumeclaims",
    "NetworkPolicy": "networking.k8s.io/v1/networkpolicies",
    "PodDisruptionBudget": "policy/v1/poddisruptionbudgets",
    "StatefulSet": "apps/v1/statefulsets",
    "Deployment": "apps/v1/deployments",
    "PodGroup": "scheduling.volcano.sh/v1beta1/podgroups",
    "PodMonitor": "monitoring.coreos.com/v1/podmonitors",
}
# Every kind of child, and most of what a pod can have.
COMPLETE: dict[str, Any] = {
    "model": {"checkpoint": "/models/a"},
    "data": {"prompts": ["/data/train.jsonl"]},
    "schedule": {"rollouts": 300},
    "trainer": {"replicas": 2},
    "rollout": {"replicas": 2},
    "buffer": {"persistence": {"size": "1Gi"}},
    "storage": {"volumes": [{"name": "data", "claimName": "data", "mountPath": "/data"}]},
    "code": {"configMapRef": "hooks"},
    "gang": {"scheduler": "volcano"},
}


@pytest.fixture(scope="module")
def restricted(control_plane: ControlPlane, rljobs: None) -> Iterator[Client]:
    """In a namespace that takes restricted pods only; PodGroups and PodMonitors are known."""
    everywhere = control_plane.client("")
    crd.install(everywhere, *crd.OTHERS)
    name = f"restricted-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    everywhere.create({**namespace, "metadata": {"name": name, "labels": labels}})
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1}
    everywhere.apply({**priority, "metadata": {"name": "high"}})
    yield control_plane.client(name)
    everywhere.discard("v1/namespaces", name)
    everywhere.discard("scheduling.k8s.io/v1/priorityclasses", "high")
    crd.remove(everywhere, *crd.OTHERS)


def manifests(name: str) -> list[Manifest]:
    """The RLJobs of a file."""
    text = (REPOSITORY / CORPUS / "valid" / name).read_text()
    documents = [each for each in YAML(typ="safe").load_all(text) if each]
    return [each for each in documents if each["kind"] == "RLJob"]


def parsed(manifest: Manifest, namespace: str) -> RLJob:
    """A job as the API server would have it."""
    job, problems = review(
        {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
    )
    assert job is not None, problems
    return job


def built(job: RLJob, uid: str) -> list[Wanted]:
    """All of its children."""
    rollout = 0 if job.spec.colocate else job.spec.rollout.replicas
    want = Want(trainer=job.spec.trainer.replicas, rollout=rollout, buffer=1, router=1)
    return children(job, uid, want, CLUSTER)


def apply(client: Client, manifest: Mapping[str, Any], **query: str) -> Manifest:
    """As the operator does, and with no field that the server does not know."""
    resource = RESOURCES[manifest["kind"]]
    if manifest["kind"] == "PodGroup":
        resource = f"{manifest['apiVersion']}/podgroups"
    return client.request(
        "PATCH",
        client.path(resource, manifest["metadata"]["name"]),
        manifest,
        "application/apply-patch+yaml",
        fieldManager=names.MANAGER,
        force="true",
        fieldValidation="Strict",
        **query,
    )


def refusal(client: Client, pod: Manifest) -> str:
    """Why a pod would not be let in; "" where it would be."""
    try:
        client.request("POST", client.path("v1/pods"), pod, dryRun="All", fieldValidation="Strict")
    except ApiError as error:
        return error.message
    return ""


@pytest.mark.parametrize("name", valid())
def test_children_and_pods_of_every_valid_manifest_are_let_in(
    restricted: Client, name: str
) -> None:
    for manifest in manifests(name):
        job = parsed(manifest, restricted.namespace)
        made = built(job, str(uuid.uuid4()))
        for wanted in made:
            apply(restricted, wanted.manifest, dryRun="All")
        account = {"name": job.metadata.name}
        restricted.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        for wanted in made:
            if wanted.ref.kind not in ("StatefulSet", "Deployment"):
                continue
            template = wanted.manifest["spec"]["template"]
            # What a StatefulSet's controller adds: the volumes of its claims.
            claims = wanted.manifest["spec"].get("volumeClaimTemplates", [])
            volumes = [
                {
                    "name": each["metadata"]["name"],
                    "persistentVolumeClaim": {"claimName": each["metadata"]["name"]},
                }
                for each in claims
            ]
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**template["metadata"], "generateName": wanted.ref.name},
                "spec": {
                    **template["spec"],
                    "volumes": [*template["spec"]["volumes"], *volumes],
                },
            }
            said = refusal(restricted, pod)
            role = wanted.manifest["metadata"]["labels"][names.LABEL_ROLE]
            if job.spec.network.rdma is not None and role in ("trainer", "rollout"):
                assert said.endswith(
                    'violates PodSecurity "restricted:latest": unrestricted capabilities '
                    f'(container "{role}" must not include "IPC_LOCK" in '
                    "securityContext.capabilities.add)"
                )
            else:
                assert said == ""


def test_a_field_that_is_unknown_is_refused(restricted: Client) -> None:
    """So that the test above can fail."""
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "date": {}}
    with pytest.raises(ApiError, match="date: field not declared in schema"):
        apply(restricted, manifest, dryRun="All")


@pytest.fixture(scope="module")
def complete(restricted: Client) -> list[Wanted]:
    """The children of a job that is there, for a child of none is collected as garbage."""
    manifest = restricted.create(
        {
            "apiVersion": "rljob.dev/v1alpha1",
            "kind": "RLJob",
            "metadata": {"name": "complete"},
            "spec": COMPLETE,
        }
    )
    found = built(parsed(manifest, restricted.namespace), manifest["metadata"]["uid"])
    assert {each.ref.kind for each in found} == RESOURCES.keys()
    return found


def test_a_second_apply_changes_nothing(restricted: Client, complete: list[Wanted]) -> None:
    def again(manifest: Mapping[str, Any]) -> bool:
        """Whether an apply left the object as it was; its controller may be at work as well."""
        before = restricted.get(RESOURCES[manifest["kind"]], manifest["metadata"]["name"])
        return before == apply(restricted, manifest)

    for wanted in complete:
        made = apply(restricted, wanted.manifest)
        metadata = wanted.manifest["metadata"]
        for field in ("labels", "annotations"):
            assert metadata[field].items() <= made["metadata"][field].items()
        assert any(again(wanted.manifest) for _ in range(50)), wanted.ref


def bare(manifest: Mapping[str, Any], name: str) -> Manifest:
    """Somebody's object with the name of a child, in a way that an apply would fit on it."""
    copied = copy.deepcopy(dict(manifest))
    copied["metadata"] = {"name": name}
    return copied


@pytest.mark.parametrize("kind", RESOURCES)
def test_an_apply_can_be_bound_to_there_being_none(
    restricted: Client, complete: list[Wanted], kind: str
) -> None:
    """With a resource version that no object has; all fields are the operator's to take back."""
    wanted = next(each for each in complete if each.ref.kind == kind)
    name = f"none-{kind.lower()}"
    manifest = renamed(wanted.manifest, name, resourceVersion="1")
    made = apply(restricted, manifest)
    (manager,) = [
        each for each in made["metadata"]["managedFields"] if each["manager"] == names.MANAGER
    ]
    assert manager["operation"] == "Apply"
    with pytest.raises(ApiError) as refused:
        apply(restricted, manifest)
    assert (refused.value.code, refused.value.reason) == (409, "Conflict")


@pytest.mark.parametrize("kind", RESOURCES)
def test_an_apply_for_a_missing_child_takes_nothing_over(
    restricted: Client, complete: list[Wanted], kind: str
) -> None:
    wanted = next(each for each in complete if each.ref.kind == kind)
    name = f"foreign-{kind.lower()}"
    theirs = restricted.apply(bare(wanted.manifest, name), FOREIGN)
    with pytest.raises(ApiError) as refused:
        apply(restricted, renamed(wanted.manifest, name, resourceVersion="1"))
    assert (refused.value.code, refused.value.reason) == (409, "Conflict")
    assert not touched(restricted, kind, name)
    # Without that it would have been.
    apply(restricted, renamed(wanted.manifest, name))
    assert touched(restricted, kind, name)
    assert theirs["metadata"]["uid"] == restricted.get(RESOURCES[kind], name)["metadata"]["uid"]


def test_an_apply_can_be_bound_to_one_object(restricted: Client, complete: list[Wanted]) -> None:
    wanted = next(each for each in complete if each.ref.kind == "Service")
    uid = apply(restricted, renamed(wanted.manifest, "bound"))["metadata"]["uid"]
    apply(restricted, renamed(wanted.manifest, "bound", uid=uid))
    with pytest.raises(ApiError, match=r"metadata\.uid.*field is immutable") as other:
        apply(restricted, renamed(wanted.manifest, "bound", uid=str(uuid.uuid4())))
    assert other.value.code == 422
    restricted.delete("v1/services", "bound")
    with pytest.raises(ApiError, match="no existing object was found") as gone:
        apply(restricted, renamed(wanted.manifest, "bound", uid=uid))
    assert gone.value.code == 409


def renamed(manifest: Mapping[str, Any], name: str, **metadata: str) -> Manifest:
    """A child under another name, with more in its metadata."""
    return {**manifest, "metadata": {**manifest["metadata"], "name": name, **metadata}}


def touched(client: Client, kind: str, name: str) -> bool:
    """Whether the operator has written to an object."""
    return names.MANAGER in json.dumps(client.get(RESOURCES[kind], name)["metadata"])
