"""What the API server denies is told in its own words, and holds up only what needs it."""

from collections.abc import Iterator

import pytest

from tests.cluster.client import ApiError, Client, Manifest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fixtures import JobMaker
from tests.cluster.jobs import PODS, WORKLOADS, Job
from tests.cluster.operator import NAME, Operator, namespaced_rights
from tests.cluster.test_operator_creation import table
from tests.support.waiting import wait_for

QUOTAS = "v1/resourcequotas"
ADMISSION = "admissionregistration.k8s.io/v1"
RBAC = "rbac.authorization.k8s.io/v1"
WITHOUT_PODS = {
    "v1/services": {"math-trainer", "math-buffer"},
    "v1/configmaps": {"math-job"},
    "v1/serviceaccounts": {"math"},
    "v1/persistentvolumeclaims": {"math-run"},
    "networking.k8s.io/v1/networkpolicies": {"math"},
    "policy/v1/poddisruptionbudgets": {"math-trainer", "math-rollout"},
}


@pytest.fixture
def denied(control_plane: ControlPlane, cluster: Client, rljobs: None) -> Iterator[Operator]:
    """An operator in a namespace where something will be denied to it."""
    rights = namespaced_rights(control_plane, cluster.namespace)
    operator = Operator(control_plane, rights, namespace=cluster.namespace)
    try:
        operator.start()
        operator.wait_until_leading()
        yield operator
        operator.check()
    finally:
        operator.kill()


@pytest.fixture
def job(denied: Operator, own_job: JobMaker) -> Job:
    made = own_job("math")
    made.trainer.say(phase="running", rollout=3, rollouts=10, engines=2, weight_version=3)
    return made


def tries(operator: Operator) -> float:
    """Of what was denied."""
    return operator.metric("rljob_operator_errors_total", kind="Forbidden") + operator.metric(
        "rljob_operator_errors_total", kind="Invalid"
    )


def is_told_once(job: Job, operator: Operator, reason: str, *words: str) -> None:
    """In the condition, in the table and in one event, however often it is tried again."""
    message = job.says("Permitted", reason)["message"]
    assert all(word in message for word in words), message
    before = tries(operator)
    wait_for(lambda: tries(operator) >= before + 2, "it is tried again")
    notes = [note for told, note in job.events() if told == reason]
    assert len(notes) == 1, notes
    assert all(word in notes[0] for word in words), notes
    assert job.status["reason"] == reason
    assert table(job)["REASON"] == reason


def is_permitted(job: Job) -> None:
    job.until(lambda: job.condition("Permitted")["status"] == "True", "nothing is denied")
    job.until(lambda: job.status["reason"] == "", "nothing keeps it from running")


def limit(cluster: Client, name: str, resource: str, most: str) -> None:
    """A quota that counts."""
    made = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}}
    cluster.create({**made, "spec": {"hard": {resource: most}}})
    wait_for(lambda: "hard" in cluster.get(QUOTAS, name).get("status", {}), "it counts")


def names(job: Job, resource: str) -> set[str]:
    return {each["metadata"]["name"] for each in job.client.list(resource, job.selector)}


def test_a_quota_without_stateful_sets(cluster: Client, denied: Operator, job: Job) -> None:
    limit(cluster, "none", "count/statefulsets.apps", "0")
    job.create()
    is_told_once(
        job,
        denied,
        "QuotaExceeded",
        "StatefulSet math-buffer is not applied",
        "exceeded quota: none, requested: count/statefulsets.apps=1",
    )
    assert job.status["phase"] == "Pending"
    for resource, wanted in WITHOUT_PODS.items():
        assert names(job, resource) == wanted, resource
    # Rollouts would hold GPUs, and have nothing to do.
    assert names(job, WORKLOADS["rollout"]) == set()
    cluster.delete(QUOTAS, "none")
    job.reaches("Running")
    is_permitted(job)
    assert "Restored" not in [reason for reason, _ in job.events()]


def test_a_quota_that_pods_do_not_meet(cluster: Client, denied: Operator, job: Job) -> None:
    """The StatefulSet is made, and its controller tells in an event why it has no pods."""
    limit(cluster, "tight", "requests.cpu", "1m")
    job.create()
    words = "in StatefulSet math-"
    job.until(lambda: words in job.condition("Scheduled").get("message", ""), "it is told why")
    condition = job.condition("Scheduled")
    assert condition["reason"] == "PodsMissing"
    assert "exceeded quota: tight, requested: requests.cpu=" in condition["message"]
    assert table(job)["REASON"] == "PodsMissing"
    job.tells("PodsMissing", "exceeded quota: tight")
    notes = [note for reason, note in job.events() if reason == "PodsMissing"]
    assert len(notes) == 1
    assert denied.errors() == 0


def deny_scaling(plane: ControlPlane, namespace: str, *resources: str) -> str:
    """A policy against a change of replicas in a namespace; returns its name."""
    name = f"fixed-{namespace}"
    rule = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["UPDATE"],
        "resources": list(resources),
    }
    validation = {
        "expression": "object.spec.replicas == oldObject.spec.replicas",
        "message": "replicas are fixed",
    }
    everywhere = plane.client("")
    everywhere.create(
        {
            "apiVersion": ADMISSION,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"resourceRules": [rule]},
                "validations": [validation],
            },
        }
    )
    label = {"kubernetes.io/metadata.name": namespace}
    everywhere.create(
        {
            "apiVersion": ADMISSION,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": label}},
            },
        }
    )
    client = plane.client(namespace)

    def holds() -> bool:
        try:
            path = client.path(WORKLOADS["rollout"], "math-rollout")
            change = {"spec": {"replicas": 7}}
            kind = "application/merge-patch+json"
            client.request("PATCH", path, change, kind, dryRun="All")
        except ApiError as error:
            return "replicas are fixed" in error.message
        return False

    wait_for(holds, "the policy holds")
    return name


def allow_scaling(plane: ControlPlane, name: str) -> None:
    everywhere = plane.client("")
    everywhere.discard(f"{ADMISSION}/validatingadmissionpolicybindings", name)
    everywhere.discard(f"{ADMISSION}/validatingadmissionpolicies", name)


@pytest.fixture
def policy(control_plane: ControlPlane, cluster: Client) -> Iterator[str]:
    """Name of the policy of `deny_scaling`, which is gone after the test."""
    name = f"fixed-{cluster.namespace}"
    yield name
    allow_scaling(control_plane, name)


def test_a_job_that_must_not_be_scaled_down_is_suspended_when_it_may(
    control_plane: ControlPlane, cluster: Client, denied: Operator, job: Job, policy: str
) -> None:
    job.create()
    job.reaches("Running")
    deny_scaling(control_plane, cluster.namespace, "deployments", "statefulsets")
    job.change(suspend=True)
    job.reaches("Suspended")
    is_told_once(
        job, denied, "Forbidden", "Deployment math-rollout is not scaled down", "replicas are fixed"
    )
    assert len(job.pods("rollout")) == 2
    allow_scaling(control_plane, policy)
    job.until(lambda: not job.pods(), "its pods are gone")
    is_permitted(job)
    job.change(suspend=False)
    job.reaches("Running")


def test_what_may_be_scaled_down_is(
    control_plane: ControlPlane, cluster: Client, denied: Operator, job: Job, policy: str
) -> None:
    job.create()
    job.reaches("Running")
    deny_scaling(control_plane, cluster.namespace, "deployments")
    job.change(suspend=True)
    job.until(lambda: not job.pods("trainer") and not job.pods("buffer"), "these two stop")
    assert len(job.pods("rollout")) == 2
    assert "math-trainer" not in job.says("Permitted", "Forbidden")["message"]


def test_a_job_that_must_not_be_scaled_down_is_deleted_all_the_same(
    control_plane: ControlPlane, cluster: Client, denied: Operator, job: Job, policy: str
) -> None:
    job.create()
    job.reaches("Running")
    deny_scaling(control_plane, cluster.namespace, "deployments", "statefulsets")
    job.hold("rollout")
    job.delete()
    job.tells("Forbidden", "Deployment math-rollout is not scaled down")
    job.until(lambda: job.is_going("rollout"), "they stop first")
    assert not any("deletionTimestamp" in each["metadata"] for each in job.pods("trainer"))
    job.let_go("rollout")
    wait_for(lambda: not job.manifest, "it is gone")
    wait_for(lambda: not job.client.list(PODS, job.selector), "its pods are gone")


def without(cluster: Client, resource: str) -> Manifest:
    """The operator may not write objects of a kind; returns the binding that lets it again."""
    metadata = {"name": "less", "namespace": cluster.namespace}
    rules = [
        {**rule, "verbs": ["list", "watch"]} if resource in rule["resources"] else rule
        for rule in _split(cluster.within("").get(f"{RBAC}/clusterroles", NAME)["rules"])
    ]
    cluster.create({"apiVersion": RBAC, "kind": "Role", "metadata": metadata, "rules": rules})
    before = cluster.get(f"{RBAC}/rolebindings", f"{NAME}-jobs")
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "less"}
    cluster.create({**_binding(before, metadata), "roleRef": role})
    cluster.delete(f"{RBAC}/rolebindings", f"{NAME}-jobs")
    return _binding(before, {"name": f"{NAME}-jobs", "namespace": cluster.namespace})


def _split(rules: list[Manifest]) -> list[Manifest]:
    """One rule for each kind."""
    return [{**rule, "resources": [each]} for rule in rules for each in rule["resources"]]


def _binding(binding: Manifest, metadata: Manifest) -> Manifest:
    kept = {field: binding[field] for field in ("apiVersion", "kind", "roleRef", "subjects")}
    return {**kept, "metadata": metadata}


def test_a_right_that_no_pod_needs(cluster: Client, denied: Operator, job: Job) -> None:
    give_back = without(cluster, "poddisruptionbudgets")
    job.create()
    job.reaches("Running")
    is_told_once(
        job,
        denied,
        "Forbidden",
        "PodDisruptionBudget math-rollout is not applied",
        "PodDisruptionBudget math-trainer is not applied",
        'cannot patch resource "poddisruptionbudgets"',
    )
    assert table(job)["PHASE"] == "Running"
    cluster.create(give_back)
    is_permitted(job)
    assert names(job, "policy/v1/poddisruptionbudgets") == {"math-trainer", "math-rollout"}


def test_a_right_that_pods_need(cluster: Client, denied: Operator, job: Job) -> None:
    give_back = without(cluster, "configmaps")
    job.create()
    words = ("ConfigMap math-job is not applied", 'cannot patch resource "configmaps"')
    is_told_once(job, denied, "Forbidden", *words)
    for resource, wanted in WITHOUT_PODS.items():
        if resource != "v1/configmaps":
            assert names(job, resource) == wanted, resource
    assert all(names(job, each) == set() for each in WORKLOADS.values())
    cluster.create(give_back)
    job.reaches("Running")
    is_permitted(job)
