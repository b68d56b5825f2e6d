"""What the operator may do, what it may not, and what it reports if rights are missing."""

import uuid
from collections.abc import Iterator

import pytest
from ruamel.yaml import YAML

from tests.cluster.client import ApiError, Client, Manifest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fixtures import JobMaker, jobs_of
from tests.cluster.operator import DEPLOY, SYSTEM, Operator, namespaced_rights, shipped_rights
from tests.support.waiting import wait_for

REQUESTS = "rljob_operator_api_requests_total"
BINDINGS, BINDING = "rbac.authorization.k8s.io/v1/rolebindings", "rljob-operator-jobs"


@pytest.fixture
def namespaces(control_plane: ControlPlane) -> Iterator[list[Client]]:
    """Two of them."""
    everywhere = control_plane.client("")
    names = [f"team-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        everywhere.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield [control_plane.client(name) for name in names]
    for name in names:
        everywhere.discard("v1/namespaces", name)


def test_it_looks_after_all_namespaces(
    control_plane: ControlPlane, rljobs: None, namespaces: list[Client]
) -> None:
    operator = Operator(control_plane, shipped_rights(control_plane), name="everywhere")
    operator.start()
    try:
        operator.wait_until_leading()
        for client in namespaces:
            with jobs_of(client) as make:
                job = make("math")
                job.run(rollout={"replicas": 2, "gpusPerReplica": 1, "router": {"enabled": True}})
                job.change(suspend=True)
                job.until(lambda job=job: not job.pods(), "its pods are gone")
                job.delete()
                job.until(lambda job=job: not job.manifest, "it is gone")
        assert operator.metric(REQUESTS, code="403") == 0
        assert operator.errors() == 0
        assert operator.stop() == 0
    finally:
        operator.kill()


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("GET", "v1/secrets"),
        ("GET", "v1/nodes"),
        ("GET", "v1/namespaces"),
        ("GET", "rbac.authorization.k8s.io/v1/roles"),
        ("GET", "apiextensions.k8s.io/v1/customresourcedefinitions"),
        ("POST", "v1/pods"),
        ("POST", "rbac.authorization.k8s.io/v1/rolebindings"),
        ("POST", "rljob.dev/v1alpha1/rljobs"),
    ],
)
def test_what_it_has_no_need_of_it_may_not(
    control_plane: ControlPlane, cluster: Client, rljobs: None, verb: str, resource: str
) -> None:
    client = Client(shipped_rights(control_plane), cluster.namespace)
    with pytest.raises(ApiError) as refused:
        client.request(verb, client.path(resource), {} if verb == "POST" else None)
    assert refused.value.code == 403


CHILD = {"list", "watch", "create", "patch", "delete"}
# Everything that the operator may do in a namespace of jobs.
MAY: dict[str, set[str]] = {
    "rljob.dev/rljobs": {"list", "watch", "patch", "delete"},
    "rljob.dev/rljobs/status": {"patch"},
    "apps/statefulsets": CHILD,
    "apps/deployments": CHILD,
    "/services": CHILD,
    "/configmaps": CHILD,
    "/serviceaccounts": CHILD,
    "/persistentvolumeclaims": CHILD,
    "networking.k8s.io/networkpolicies": CHILD,
    "policy/poddisruptionbudgets": CHILD,
    "scheduling.volcano.sh/podgroups": CHILD,
    "scheduling.x-k8s.io/podgroups": CHILD,
    "monitoring.coreos.com/podmonitors": CHILD,
    "/secrets": {"create"},
    "/pods": {"list", "watch", "patch", "delete"},
    "events.k8s.io/events": {"list", "create"},
    # What every user may: ask about itself.
    "authentication.k8s.io/selfsubjectreviews": {"create"},
    "authorization.k8s.io/selfsubjectaccessreviews": {"create"},
    "authorization.k8s.io/selfsubjectrulesreviews": {"create"},
}
VERBS = [
    *("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"),
    *("bind", "escalate", "impersonate"),
]


def test_it_may_do_what_this_table_says_and_nothing_else(
    control_plane: ControlPlane, cluster: Client, rljobs: None
) -> None:
    client = Client(shipped_rights(control_plane), cluster.namespace)
    served = kinds(cluster)
    assert {"apps/statefulsets", "/secrets", "/pods/exec", "rljob.dev/rljobs"} <= served
    found = {
        kind: {verb for verb in VERBS if may(client, verb, kind)} for kind in served | MAY.keys()
    }
    assert {kind: verbs for kind, verbs in found.items() if verbs} == MAY


def kinds(client: Client) -> set[str]:
    """All that the API server serves, with subresources, as "group/plural"."""
    groups = client.request("GET", "/apis")["groups"]
    versions = [(each["name"], version) for each in groups for version in each["versions"]]
    places = [("", "/api/v1"), *((name, f"/apis/{v['groupVersion']}") for name, v in versions)]
    return {
        f"{group}/{each['name']}"
        for group, place in places
        for each in client.request("GET", place)["resources"]
    }


def may(client: Client, verb: str, kind: str, name: str = "") -> bool:
    group, plural, *sub = kind.split("/")
    question = {
        "namespace": client.namespace,
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": "/".join(sub),
        "name": name,
    }
    reply = client.request(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": question},
        },
    )
    return bool(reply["status"]["allowed"])


def test_of_secrets_it_reads_its_own_key_only(
    control_plane: ControlPlane, cluster: Client, rljobs: None
) -> None:
    """A patch that changes nothing would return what is in a Secret."""
    own = Client(shipped_rights(control_plane), SYSTEM)
    secret = {"apiVersion": "v1", "kind": "Secret", "stringData": {"password": "p"}}
    for client in (cluster, control_plane.client(SYSTEM)):
        client.apply({**secret, "metadata": {"name": "users"}})
        path = own.within(client.namespace).path("v1/secrets", "users")
        for kind in ("merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml"):
            with pytest.raises(ApiError) as refused:
                own.request("PATCH", path, {}, f"application/{kind}", fieldManager="test")
            assert refused.value.code == 403
    for verb in VERBS:
        assert may(own, verb, "/secrets", "users") == (verb == "create")
        assert may(own, verb, "/secrets", "rljob-operator-key") == (verb in ("create", "get"))


def test_a_right_that_misses_is_told_and_its_return_is_enough(
    control_plane: ControlPlane, cluster: Client, rljobs: None, own_job: JobMaker
) -> None:
    rights = namespaced_rights(control_plane, cluster.namespace)
    operator = Operator(control_plane, rights, namespace=cluster.namespace)
    try:
        operator.start()
        operator.wait_until_leading()
        give_back = taken_away(cluster)
        job = own_job("math")
        job.trainer.say(phase="running")
        job.create()
        errors = "rljob_operator_errors_total"
        wait_for(lambda: operator.metric(errors, kind="Forbidden") > 0, "it is counted")
        assert "is forbidden" in operator.log.read_text()
        cluster.create(give_back)
        job.reaches("Running")
        operator.check()
    finally:
        operator.kill()


def taken_away(cluster: Client) -> Manifest:
    """The operator has no rights on jobs any more; the binding that gives them back."""
    binding = cluster.get(BINDINGS, BINDING)
    cluster.delete(BINDINGS, BINDING)
    return {**binding, "metadata": {"name": BINDING, "namespace": cluster.namespace}}


def test_it_is_ready_only_with_its_rights(
    control_plane: ControlPlane, cluster: Client, rljobs: None
) -> None:
    rights = namespaced_rights(control_plane, cluster.namespace)
    give_back = taken_away(cluster)
    operator = Operator(control_plane, rights, namespace=cluster.namespace)
    try:
        operator.launch()
        wait_for(lambda: "watch.failed" in operator.log.read_text(), "it says what it may not")
        assert operator.get("/readyz") == ""
        assert operator.get("/healthz") != ""  # a restart would not help
        cluster.create(give_back)
        wait_for(lambda: operator.get("/readyz") != "", "it is ready")
    finally:
        operator.kill()


def test_its_deployment_is_what_the_server_takes(control_plane: ControlPlane) -> None:
    """In a namespace for restricted pods only."""
    shipped_rights(control_plane)
    client = control_plane.client("rljob-system")
    labels = client.within("").get("v1/namespaces", "rljob-system")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    resources = {
        "Deployment": "apps/v1/deployments",
        "PodDisruptionBudget": "policy/v1/poddisruptionbudgets",
    }
    strict = {"dryRun": "All", "fieldValidation": "Strict"}
    text = (DEPLOY / "10-operator.yaml").read_text()
    for manifest in YAML(typ="safe", pure=True).load_all(text):
        metadata = manifest["metadata"]
        path = client.path(resources[manifest["kind"]], metadata["name"])
        apply = {"fieldManager": "test", "force": "true", **strict}
        client.request("PATCH", path, manifest, "application/apply-patch+yaml", **apply)
        if manifest["kind"] == "Deployment":
            template = manifest["spec"]["template"]
            named = {**template["metadata"], "name": "operator"}
            pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": named}
            client.request("POST", client.path("v1/pods"), pod, **strict)
