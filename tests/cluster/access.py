"""Users with the rights that a test chooses."""

from typing import Any

from tests.cluster import kubeconfig
from tests.cluster.client import Client
from tests.cluster.control_plane import ControlPlane

_HOURS = 12


def service_account(
    plane: ControlPlane, namespace: str, name: str, rules: list[dict[str, Any]] | None = None
) -> Client:
    """A client that speaks as a service account; its `config` is a kubeconfig for a process.

    Args:
        namespace: must exist. The account is made there unless it exists.
        rules: what it may do in this namespace, as in a Role; None: nothing is granted.
    """
    admin = plane.client(namespace)
    metadata = {"name": name, "namespace": namespace}
    admin.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    if rules is not None:
        group = "rbac.authorization.k8s.io"
        role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": rules}
        admin.apply(role)
        admin.apply(
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
                "subjects": [{"kind": "ServiceAccount", **metadata}],
            }
        )
    reply = admin.request(
        "POST",
        admin.path("v1/serviceaccounts", name, "token"),
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _HOURS * 3600},
        },
    )
    path = kubeconfig.write(
        plane.directory / f"{namespace}-{name}.kubeconfig",
        plane.url,
        plane.directory / "ca.crt",
        {"token": reply["status"]["token"]},
        namespace,
    )
    return Client(path, namespace)
