"""Every manifest of the corpus, sent to a real API server by kubectl.

Invalid manifests are refused by what their `# server:` line names; valid ones, read back, equal the
file including defaults.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from rljob.api.load import load
from rljob.api.review import review
from rljob_operator.observed import Cluster, Observed
from rljob_operator.reconcile import reconcile
from tests.cluster.control_plane import ControlPlane
from tests.cluster.crd import RESOURCE
from tests.cluster.kubectl import kubectl
from tests.support.corpus import CORPUS, REPOSITORY, Invalid, invalid, valid

MANIFESTS = {manifest.name: manifest for manifest in invalid()}
SENT = ("create", "--dry-run=server", "--validate=strict", "-f")
CREATING = r'^Error from server \(\w+\): error when creating "[^"]*/([^"/]+)": '
TOLD = r"(\w[\w.\[\]]*): (?:Invalid value|Forbidden|Required value): (?:\"[^\"]*\": )?"
CLUSTER = Cluster(
    kinds=frozenset({"scheduling.volcano.sh/PodGroup"}),
    key=b"key",
    images={"trainer": "trainer:1", "rollout": "rollout:1"},
)
RELATIVE = ("checkpoint-here.yaml", "numbers-in-quotes.yaml")  # to paths of this machine
NAMESPACES = ("team", "research", "other")  # that manifests name


def named(server: str) -> list[str]:
    return [name for name, manifest in MANIFESTS.items() if manifest.server == server]


@pytest.fixture(scope="module", autouse=True)
def _namespaces(control_plane: ControlPlane, rljobs: None) -> Iterator[None]:
    client = control_plane.client("")
    for name in NAMESPACES:
        client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield
    for name in NAMESPACES:
        client.discard("v1/namespaces", name)


@pytest.fixture(scope="module")
def refusals(control_plane: ControlPlane, _namespaces: None) -> dict[str, str]:
    """What the API server says of the invalid manifests that it refuses, by file."""
    said = kubectl(control_plane.kubeconfig, *SENT, CORPUS / "invalid", cwd=REPOSITORY).stderr
    # What kubectl itself could not read stands at the end.
    parts = re.split(CREATING, said.partition("\n[error ")[0], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def stored(control_plane: ControlPlane, manifest: Invalid) -> list[dict[str, Any]]:
    """The RLJobs that the API server would store of a file."""
    sent = kubectl(control_plane.kubeconfig, *SENT, manifest.path, "-o", "json", cwd=REPOSITORY)
    assert sent.returncode == 0, sent.stderr
    objects, decoder, rest = [], json.JSONDecoder(), sent.stdout.strip()
    while rest:
        found, end = decoder.raw_decode(rest)
        objects.append(found)
        rest = rest[end:].strip()
    return [found for found in objects if found["kind"] == "RLJob"]


def accepted(manifest: dict[str, Any]) -> dict[str, Any]:
    """The condition Accepted that the operator would give an object."""
    decision = reconcile(Observed(manifest, cluster=CLUSTER), datetime.now(UTC))
    assert decision.status is not None
    [condition] = [c for c in decision.status["conditions"] if c["type"] == "Accepted"]
    return dict(condition)


@pytest.mark.parametrize("name", named("yaml"))
def test_what_kubectl_cannot_read_is_not_sent(control_plane: ControlPlane, name: str) -> None:
    sent = kubectl(control_plane.kubeconfig, *SENT, MANIFESTS[name].path, cwd=REPOSITORY)
    assert "created" not in sent.stdout
    assert "Error from server" not in sent.stderr


@pytest.mark.parametrize("name", named("schema"))
def test_the_schema_refuses(refusals: dict[str, str], name: str) -> None:
    said = refusals[name]
    assert any(_name(message) in said for message in MANIFESTS[name].messages), said


@pytest.mark.parametrize("name", named("cel"))
def test_a_rule_refuses_with_the_words_of_validate(refusals: dict[str, str], name: str) -> None:
    said = refusals[name]
    for message in MANIFESTS[name].messages:
        path, words = message.split(": ", 1)
        told = re.findall(TOLD + re.escape(words), said)
        # A rule can't name an item of the list or the mapping that it speaks of.
        assert any(path == at or path.startswith((f"{at}[", f"{at}.")) for at in told), said
    assert "evaluating" not in said
    assert "in body" not in said


@pytest.mark.parametrize("name", named("operator"))
def test_the_operator_refuses_with_the_words_of_validate(
    control_plane: ControlPlane, name: str
) -> None:
    [manifest] = stored(control_plane, MANIFESTS[name])
    condition = accepted(manifest)
    assert (condition["status"], condition["reason"]) == ("False", "Invalid")
    assert sorted(condition["message"].splitlines()) == sorted(MANIFESTS[name].messages)


@pytest.mark.parametrize("name", named("file"))
def test_what_only_the_file_shows_nobody_can_refuse(control_plane: ControlPlane, name: str) -> None:
    for manifest in stored(control_plane, MANIFESTS[name]):
        assert review(manifest)[1] == []


@pytest.mark.parametrize("name", valid())
def test_a_valid_manifest_is_stored_as_the_file_says(
    control_plane: ControlPlane, name: str
) -> None:
    file = CORPUS / "valid" / name
    sent = kubectl(
        control_plane.kubeconfig, "create", "--validate=strict", "-f", file, cwd=REPOSITORY
    )
    assert sent.returncode == 0, sent.stderr
    jobs, _ = load(REPOSITORY / file)
    assert len(sent.stdout.splitlines()) == len(jobs)
    for job in jobs:
        client = control_plane.client(job.metadata.namespace)
        manifest = client.get(RESOURCE, job.metadata.name)
        client.delete(RESOURCE, job.metadata.name)
        read, problems = review(manifest)
        assert read is not None, problems
        assert read.spec == job.spec
        for field in ("name", "namespace", "labels", "annotations"):
            assert getattr(read.metadata, field) == getattr(job.metadata, field)
        if name != "kueue.yaml":  # another controller's
            expected = ("Invalid",) if name in RELATIVE else ("Valid", "Unsupported")
            assert accepted(manifest)["reason"] in expected


def _name(message: str) -> str:
    """The innermost field of the path that a message begins with."""
    path = message.partition(": ")[0]
    if path.endswith('"]'):
        return str(json.loads(path[path.index('["') + 1 : -1]))
    return re.sub(r"\[\d+\]$", "", path).rpartition(".")[2]
