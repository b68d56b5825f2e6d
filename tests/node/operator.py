"""The operator, installed by its chart."""

from tests.cluster.binaries import binaries
from tests.node.cluster import NodeCluster
from tests.node.command import run
from tests.node.image import ROLES
from tests.node.place import CHECKOUT

NAMESPACE = "rljob-system"
_RELEASE = "rljob"


def install(cluster: NodeCluster) -> None:
    """Returns when it is ready, as `helm install --wait` does."""
    repository, _, tag = ROLES.rpartition(":")
    images = ("image", "jobs.trainerImage", "jobs.rolloutImage")
    values = [
        f"{image}.{field}"
        for image in images
        for field in (f"repository={repository}", f"tag={tag}")
    ]
    run(
        binaries()["helm"],
        f"--kubeconfig={cluster.plane.kubeconfig}",
        "install",
        _RELEASE,
        CHECKOUT / "helm" / "rljob",
        f"--namespace={NAMESPACE}",
        "--create-namespace",
        "--wait",
        "--timeout=5m",
        f"--set={','.join(values)}",
    )


def delete_pods(cluster: NodeCluster) -> None:
    """All of them at once; the Deployment makes others."""
    cluster.kubectl("-n", NAMESPACE, "delete", "pods", "--all", "--wait=false")
