"""The Helm chart: what it renders, and its releases on a control plane."""

import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import crd
from tests.cluster.access import service_account
from tests.cluster.binaries import VERSION, binaries
from tests.cluster.client import Client, Manifest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fixtures import JobMaker
from tests.cluster.helm import CHART, helm, manifests, options, rendered
from tests.cluster.jobs import a_job
from tests.cluster.kubectl import kubectl
from tests.cluster.operator import DEPLOY, NAME, SYSTEM, Operator
from tests.project.test_documents import commands
from tests.support.waiting import wait_for

pytestmark = pytest.mark.cluster
CRDS = "apiextensions.k8s.io/v1/customresourcedefinitions"
DEPLOYMENTS = "apps/v1/deployments"
SECRETS = "v1/secrets"
PASSES = "rljob_operator_reconcile_seconds"
MONITORING = sorted((Path(__file__).parent / "crds").glob("monitoring.coreos.com_*.yaml"))
RELEASE_LIMIT = 1_000_000  # bytes of a Secret are 1 MiB at most
DIGEST = f"sha256:{'0' * 64}"
MATRIX: dict[str, Manifest] = {
    "default": {},
    "namespaces": {"namespaces": ["team-a", "team-b"], "rbac.userRoles": False},
    "monitoring": {
        "serviceMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "stack"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "stack"}},
        "dashboards": {"enabled": True},
    },
    "OpenShift": {"podSecurityContext": {"runAsUser": None, "runAsGroup": None}},
    "images": {
        "image": {"repository": "mirror.example:5000/operator", "digest": DIGEST},
        "imagePullSecrets": [{"name": "mirror"}],
        "jobs.trainerImage": {"repository": "mirror.example:5000/trainer", "tag": "nightly"},
    },
    "placement": {
        "replicas": 3,
        "workers": 32,
        "resyncSeconds": 1200,
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "pool", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "podLabels": {"team": "rl"},
        "podAnnotations": {"prometheus.io/scrape": "true"},
        "podDisruptionBudget.minAvailable": "50%",
        "networkPolicy.from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
        "serviceAccount.annotations": {"team": "rl"},
    },
    "part of another chart": {"global": {"team": "rl"}},
    "least": {
        "replicas": 1,
        "crds.install": False,
        "rbac": {"create": False, "userRoles": False},
        "serviceAccount": {"create": False, "name": "default"},
        "networkPolicy.enabled": False,
        "topologySpreadConstraints": [],
    },
}


@pytest.fixture(scope="module")
def api_server() -> Iterator[ControlPlane]:
    """A control plane of this module, where nothing acts on what is stored."""
    plane = ControlPlane()
    try:
        plane.start(workloads=False)
        everywhere = plane.client("")
        for name in (SYSTEM, "team-a", "team-b"):
            metadata = {"name": name}
            everywhere.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        crd.install(everywhere, *MONITORING)
        yield plane
    finally:
        plane.stop()


def succeeds(result: subprocess.CompletedProcess[str]) -> str:
    """What a command said, which must not fail."""
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_it_has_no_warning_of_lint() -> None:
    succeeds(helm("lint", "--strict", "--kube-version", VERSION, CHART))


def test_its_unit_tests_pass() -> None:
    command = [binaries()["helm-unittest"], "--strict", CHART]
    succeeds(subprocess.run(command, capture_output=True, text=True, timeout=120, check=False))


@pytest.mark.parametrize("name", MATRIX)
def test_what_it_renders_is_what_the_server_takes(
    api_server: ControlPlane, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "manifests.yaml"
    file.write_text(rendered(MATRIX[name], chart=with_files(tmp_path)))
    strict = ["--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"]
    succeeds(kubectl(api_server.kubeconfig, "apply", *strict, "-f", file))


def with_files(directory: Path) -> Path:
    """A copy of the chart with a dashboard and a file of rules of this test."""
    chart = directory / "rljob"
    shutil.copytree(CHART, chart)
    for name, text in (
        ("dashboards/of_test.json", '{"title": "{{job}}"}\n'),
        ("rules/of-test.yaml", "# A comment.\ngroups:\n  - name: of-test\n    rules: []\n"),
    ):
        (chart / name).parent.mkdir(exist_ok=True)
        (chart / name).write_text(text)
    return chart


def test_dashboards_and_rules_are_taken_as_they_are(tmp_path: Path) -> None:
    found = manifests(rendered(MATRIX["monitoring"], chart=with_files(tmp_path)))
    dashboard = found["ConfigMap", "rljob-operator-of-test"]
    assert json.loads(dashboard["data"]["of_test.json"]) == {"title": "{{job}}"}
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert dashboard["metadata"]["annotations"]["grafana_folder"] == "RLJob"
    rules = found["PrometheusRule", "rljob-operator-of-test"]
    assert rules["spec"] == {"groups": [{"name": "of-test", "rules": []}]}
    assert rules["metadata"]["labels"]["release"] == "stack"


def test_without_dashboards_and_rules_there_are_none(tmp_path: Path) -> None:
    chart = with_files(tmp_path)
    for name in ("dashboards", "rules"):
        shutil.rmtree(chart / name)
    kinds = {kind for kind, _ in manifests(rendered(MATRIX["monitoring"], chart=chart))}
    assert not kinds & {"ConfigMap", "PrometheusRule"}


SHIPPED = manifests("---\n".join(path.read_text() for path in sorted(DEPLOY.glob("*.yaml"))))


@pytest.mark.parametrize("kind", ["ClusterRole", "Role"])
def test_its_rules_are_those_of_operator_deploy(kind: str) -> None:
    found = manifests(rendered({}))
    assert found[kind, NAME]["rules"] == SHIPPED[kind, NAME]["rules"]


@pytest.mark.parametrize("role", ["rljob-view", "rljob-edit"])
def test_its_roles_of_users_are_those_of_operator_deploy(role: str) -> None:
    found, shipped = (each["ClusterRole", role] for each in (manifests(rendered({})), SHIPPED))
    assert found["rules"] == shipped["rules"]
    assert found["metadata"]["labels"].items() >= shipped["metadata"]["labels"].items()


def test_rules_in_a_namespace_are_those_for_all() -> None:
    found = manifests(rendered({"namespaces": ["team-a"]}))
    assert ("ClusterRole", NAME) not in found
    assert found["Role", f"{NAME}-jobs"]["rules"] == SHIPPED["ClusterRole", NAME]["rules"]


def test_its_pods_are_those_of_operator_deploy() -> None:
    """Their tags included, which the chart takes from its own version."""
    found = manifests(rendered({}))
    mine, shipped = (each["Deployment", NAME]["spec"] for each in (found, SHIPPED))
    (container,) = mine["template"]["spec"]["containers"]
    assert container.pop("imagePullPolicy") == "IfNotPresent"
    images = {"RLJOB_TRAINER_IMAGE", "RLJOB_ROLLOUT_IMAGE"}
    container["env"] = [each for each in container["env"] if each["name"] not in images]
    assert mine["template"]["spec"] == shipped["template"]["spec"]
    assert mine["selector"] == shipped["selector"]
    assert mine["replicas"] == shipped["replicas"]
    budgets = (each["PodDisruptionBudget", NAME]["spec"] for each in (found, SHIPPED))
    assert next(budgets) == next(budgets)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"replicas": 0}, "at '/replicas': minimum: got 0, want 1"),
        ({"replica": 2}, "additional properties 'replica' not allowed"),
        ({"namespaces": ["Team_A"]}, "at '/namespaces/0': 'Team_A' does not match pattern"),
        ({"image.digest": "latest"}, "at '/image/digest': 'latest' does not match pattern"),
        ({"workers": "many"}, "at '/workers': got string, want null or integer"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_wrong_value_is_named(values: Manifest, message: str) -> None:
    place = ["--kube-version", VERSION]
    result = helm("template", "rljob", CHART, *place, *options(values))
    assert result.returncode != 0
    assert message in result.stderr


@pytest.fixture
def release(api_server: ControlPlane) -> Iterator[Client]:
    """A client in the namespace of the release `rljob`, which is uninstalled in the end."""
    yield api_server.client(SYSTEM)
    place = ["--namespace", SYSTEM, "--ignore-not-found"]
    succeeds(helm("uninstall", "rljob", *place, config=api_server.kubeconfig))


def with_earlier_crd(directory: Path) -> Path:
    """A copy of the chart whose CRD lacks the short name."""
    chart = directory / "earlier"
    shutil.copytree(CHART, chart)
    file = chart / "files" / crd.FILE.name
    text = file.read_text()
    earlier = text.replace("    shortNames:\n    - rlj\n", "")
    assert earlier != text
    file.write_text(earlier)
    return chart


def short_names(client: Client) -> list[str]:
    found: list[str] = client.get(CRDS, crd.NAME)["spec"]["names"].get("shortNames", [])
    return found


def test_the_crd_is_upgraded_and_outlives_the_release(
    api_server: ControlPlane, release: Client, tmp_path: Path
) -> None:
    config, place = api_server.kubeconfig, ["--namespace", SYSTEM]
    everywhere, team = release.within(""), release.within("team-a")
    everywhere.discard(CRDS, crd.NAME)
    succeeds(helm("install", "rljob", with_earlier_crd(tmp_path), *place, config=config))
    assert short_names(everywhere) == []
    crd.wait_until_established(everywhere)
    job = team.create(a_job())
    succeeds(helm("upgrade", "rljob", CHART, *place, config=config))
    assert short_names(everywhere) == ["rlj"]
    for secret in release.list(SECRETS, "owner=helm"):
        assert len(json.dumps(secret)) < RELEASE_LIMIT
    succeeds(helm("rollback", "rljob", "1", *place, config=config))
    assert short_names(everywhere) == []
    succeeds(helm("uninstall", "rljob", *place, config=config))
    assert release.find(DEPLOYMENTS, NAME) is None
    assert team.get(crd.RESOURCE, "math")["metadata"]["uid"] == job["metadata"]["uid"]
    succeeds(helm("install", "rljob", CHART, *place, config=config))
    assert short_names(everywhere) == ["rlj"]
    team.delete(crd.RESOURCE, "math")


def test_it_takes_over_what_kubectl_has_applied(api_server: ControlPlane, release: Client) -> None:
    config, place = api_server.kubeconfig, ["--namespace", SYSTEM]
    apply = ["apply", "--server-side", "-f", crd.FILE.parent, "-f", DEPLOY]
    succeeds(kubectl(config, *apply, "--force-conflicts"))
    uid = release.get(DEPLOYMENTS, NAME)["metadata"]["uid"]
    succeeds(helm("install", "rljob", CHART, *place, "--take-ownership", config=config))
    assert release.get(DEPLOYMENTS, NAME)["metadata"]["uid"] == uid


def test_the_documented_commands_succeed(api_server: ControlPlane, release: Client) -> None:
    documented = list(commands("helm"))
    assert documented
    for document, words in documented:
        if words[0] == "install":  # each is another way to begin
            gone = ["--namespace", SYSTEM, "--ignore-not-found"]
            succeeds(helm("uninstall", "rljob", *gone, config=api_server.kubeconfig))
        result = helm(*words, config=api_server.kubeconfig)
        assert result.returncode == 0, f"{document.name}: {words}\n{result.stderr}"


def test_the_notes_name_the_next_commands(api_server: ControlPlane, release: Client) -> None:
    place = ["--namespace", SYSTEM]
    notes = succeeds(helm("install", "rljob", CHART, *place, config=api_server.kubeconfig))
    assert f"kubectl -n {SYSTEM} rollout status deployment {NAME}" in notes
    assert "kubectl apply -f" in notes
    assert "get rljobs --watch" in notes


def test_a_job_runs_on_through_an_upgrade_a_rollback_and_an_uninstall(
    control_plane: ControlPlane, cluster: Client, rljobs: None, own_job: JobMaker
) -> None:
    """kwok runs the pods of the operator's Deployment; what they would do, a process does."""
    name = f"chart-{uuid.uuid4().hex[:6]}"
    place, config = ["--namespace", cluster.namespace], control_plane.kubeconfig
    values: dict[str, Any] = {"crds.install": False, "namespaces": [cluster.namespace]}
    succeeds(helm("install", name, CHART, *place, "--wait", *options(values), config=config))
    job = own_job("math")
    with operating(control_plane, cluster.namespace, name) as operator:
        job.run()
        pods = job.uids()
        changed = options(values | {"image.tag": "next", "workers": 4})
        succeeds(helm("upgrade", name, CHART, *place, "--wait", *changed, config=config))
        assert operator.stop() == 0
    with operating(control_plane, cluster.namespace, name) as operator:
        wait_for(lambda: operator.metric(f"{PASSES}_count") > 0, "it has looked at the job")
        assert job.uids() == pods
        succeeds(helm("rollback", name, "1", *place, "--wait", config=config))
        assert operator.metric("rljob_operator_api_requests_total", code="403") == 0
        succeeds(helm("uninstall", name, *place, "--wait", config=config))
    assert job.uids() == pods
    assert job.status["phase"] == "Running"
    assert cluster.within("").find(CRDS, crd.NAME) is not None
    # Nobody is left to take its finalizer away.
    cluster.patch(crd.RESOURCE, "math", {"metadata": {"finalizers": None}})


@contextmanager
def operating(plane: ControlPlane, namespace: str, release: str) -> Iterator[Operator]:
    """The operator with the settings of a release's Deployment and the rights of its account."""
    name = f"{release}-operator"
    template = plane.client(namespace).get(DEPLOYMENTS, name)["spec"]["template"]["spec"]
    (container,) = template["containers"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    operator = Operator(
        plane,
        service_account(plane, namespace, template["serviceAccountName"]).config,
        f"--trainer-image={env['RLJOB_TRAINER_IMAGE']}",
        f"--rollout-image={env['RLJOB_ROLLOUT_IMAGE']}",
        *container.get("args", []),
        namespace=env["RLJOB_NAMESPACES"],
        name=f"{release}-{uuid.uuid4().hex[:4]}",
    )
    try:
        operator.start()
        operator.wait_until_leading()
        yield operator
    finally:
        operator.kill()


@pytest.mark.parametrize(
    ("role", "verb", "allowed"),
    [
        ("view", "get", True),
        ("view", "create", False),
        ("edit", "create", True),
        ("admin", "delete", True),
    ],
)
def test_users_have_the_rights_of_the_aggregated_roles(
    control_plane: ControlPlane,
    cluster: Client,
    aggregated: None,
    role: str,
    verb: str,
    allowed: bool,
) -> None:
    group = "rbac.authorization.k8s.io"
    user = f"{role}-{cluster.namespace}"
    cluster.create(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": role},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        }
    )
    question = ["auth", "can-i", verb, "rljobs.rljob.dev", "--as", user]
    place = ["--namespace", cluster.namespace]
    result = kubectl(control_plane.kubeconfig, *question, *place)
    assert result.stdout.strip() == ("yes" if allowed else "no")


@pytest.fixture(scope="module")
def aggregated(control_plane: ControlPlane) -> Iterator[None]:
    """The cluster's roles for users have taken in those of a release."""
    everywhere = control_plane.client("")
    name = f"users-{uuid.uuid4().hex[:6]}"
    place = ["--namespace", "default"]
    values = options({"crds.install": False, "replicas": 1, "namespaces": ["default"]})
    config = control_plane.kubeconfig
    succeeds(helm("install", name, CHART, *place, *values, config=config))
    roles = "rbac.authorization.k8s.io/v1/clusterroles"
    for role in ("view", "edit", "admin"):
        wait_for(
            lambda role=role: "rljob.dev" in json.dumps(everywhere.get(roles, role)["rules"]),
            f"{role} has the rules on jobs",
        )
    yield
    succeeds(helm("uninstall", name, *place, config=config))
