"""The operator, installed from the manifests that it is shipped with."""

import json
from pathlib import Path

from ruamel.yaml import YAML

from tests.node.cluster import NodeCluster
from tests.node.image import ROLES
from tests.node.place import CHECKOUT, DIRECTORY

NAMESPACE = "rljob-system"
DEPLOYMENT = "deployment/rljob-operator"
_IMAGE = "ghcr.io/rljob/operator:latest"


def install(cluster: NodeCluster) -> None:
    """Returns when it is ready."""
    cluster.kubectl("apply", "--server-side", "-f", CHECKOUT / "crds")
    cluster.kubectl("apply", "-f", CHECKOUT / "operator" / "deploy" / "00-rights.yaml")
    cluster.kubectl("apply", "-f", _with_test_images("10-operator.yaml"))
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", DEPLOYMENT, "--timeout=100s")


def delete_pods(cluster: NodeCluster) -> None:
    """All of them at once; the Deployment makes others."""
    cluster.kubectl("-n", NAMESPACE, "delete", "pods", "--all", "--wait=false")


def _with_test_images(name: str) -> Path:
    text = (CHECKOUT / "operator" / "deploy" / name).read_text().replace(_IMAGE, ROLES)
    (deployment, *others) = YAML(typ="safe", pure=True).load_all(text)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for role in ("TRAINER", "ROLLOUT"):
        container["env"].append({"name": f"RLJOB_{role}_IMAGE", "value": ROLES})
    path = DIRECTORY / name
    path.write_text("\n---\n".join(json.dumps(each) for each in (deployment, *others)))
    return path
