"""Kubeconfig files: written for a client certificate or a token, and read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def write(
    path: Path, server: str, authority: Path, user: dict[str, Any], namespace: str = "default"
) -> Path:
    """Writes a kubeconfig; JSON is YAML.

    Args:
        user: the fields of a kubeconfig's user, as `{"token": ...}`.
    """
    cluster = {"server": server, "certificate-authority": str(authority)}
    context = {"cluster": "test", "user": "test", "namespace": namespace}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": context}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=1))
    return path


@dataclass(frozen=True)
class Access:
    """How to reach a cluster, and as whom."""

    server: str
    authority: str
    token: str | None
    certificate: tuple[str, str] | None  # files of certificate and key


def read(path: Path) -> Access:
    """What `write` has written."""
    document = json.loads(path.read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    certificate = user.get("client-certificate"), user.get("client-key")
    return Access(
        cluster["server"],
        cluster["certificate-authority"],
        user.get("token"),
        certificate if all(certificate) else None,
    )
