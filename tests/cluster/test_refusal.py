"""What the API server can't refuse, the running operator does, without affecting other jobs."""

import json
from pathlib import Path

from tests.cluster.client import Client, Manifest
from tests.cluster.crd import RESOURCE
from tests.cluster.kubectl import kubectl
from tests.cluster.operator import Operator
from tests.support.corpus import REPOSITORY, Invalid, invalid
from tests.support.waiting import wait_for

GOOD: Manifest = {
    "apiVersion": "rljob.dev/v1alpha1",
    "kind": "RLJob",
    "metadata": {"name": "good"},
    "spec": {
        "model": {"checkpoint": "/models/tiny"},
        "data": {"prompts": ["/data/train.jsonl"]},
        "schedule": {"rollouts": 10},
    },
}
REFUSED = [manifest for manifest in invalid() if manifest.server == "operator"]


def read(cluster: Client, manifest: Invalid) -> Manifest:
    """A manifest as kubectl reads it, under a name of its own."""
    options = ("create", "--dry-run=client", "--output=json", "--filename", manifest.path)
    found: Manifest = json.loads(kubectl(cluster.config, *options, cwd=REPOSITORY).stdout)
    found["metadata"] = {"name": manifest.name.removesuffix(".yaml")[:40].strip("-")}
    return found


def accepted(cluster: Client, name: str) -> tuple[str, str, str]:
    """Status, reason and message of the condition Accepted, once the job has it."""
    said = ""

    def is_judged() -> bool:
        nonlocal said
        path = "{range .status.conditions[?(@.type=='Accepted')]}{.status} {.reason} {.message}"
        options = (
            "--namespace",
            cluster.namespace,
            "get",
            "rlj",
            name,
            f"--output=jsonpath={path}{{end}}",
        )
        said = kubectl(cluster.config, *options).stdout
        return said != ""

    wait_for(is_judged, f"{name} is judged")
    status, reason, message = said.split(" ", 2)
    return status, reason, message


def test_each_is_refused_with_the_words_of_validate(cluster: Client, operator: Operator) -> None:
    names = [cluster.create(read(cluster, each))["metadata"]["name"] for each in REFUSED]
    for manifest, name in zip(REFUSED, names, strict=True):
        status, reason, message = accepted(cluster, name)
        assert (status, reason) == ("False", "Invalid"), name
        assert sorted(message.splitlines()) == sorted(manifest.messages)
    cluster.create(GOOD)
    assert accepted(cluster, "good")[0] == "True"
    wait_for(lambda: cluster.list("apps/v1/deployments") != [], "the good job has children")
    owners = {
        each["metadata"]["labels"]["rljob.dev/job"] for each in cluster.list("apps/v1/deployments")
    }
    assert owners == {"good"}
    assert operator.errors() == 0


def test_a_job_nested_beyond_reason_is_refused_like_any_other(
    cluster: Client, operator: Operator, tmp_path: Path
) -> None:
    """The API server takes 10,000 levels: who follows them by recursion must be ready for it."""
    job = {
        **GOOD,
        "metadata": {"name": "deep"},
        "spec": GOOD["spec"] | {"rollout": {"template": 0}},
    }
    deep = '{"a":' * 9_000 + "1" + "}" * 9_000
    file = tmp_path / "deep.json"
    file.write_text(json.dumps(job).replace('"template": 0', f'"template": {deep}'))
    sent = kubectl(cluster.config, "create", "--raw", cluster.path(RESOURCE), "--filename", file)
    assert sent.returncode == 0, sent.stderr
    assert accepted(cluster, "deep") == (
        "False",
        "Invalid",
        "spec.rollout.template: nested deeper than 64 levels",
    )
    cluster.create(GOOD)
    assert accepted(cluster, "good")[0] == "True"
    operator.check()
