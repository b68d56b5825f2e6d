"""OCI image archives, as `ctr images import` reads them (OCI image specification 1.0)."""

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TYPES = "application/vnd.oci.image"


@dataclass(frozen=True)
class Layer:
    """A layer of an image.

    Args:
        diff_id: "sha256:" and the hash of its uncompressed tar.
        tar: the file; None: the node's containerd has the layer already, as a snapshot.
    """

    diff_id: str
    tar: Path | None = None

    @classmethod
    def of(cls, tar: Path) -> "Layer":
        """The layer that a file holds."""
        with tar.open("rb") as file:
            return cls(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}", tar)


def chain_id(layers: Sequence[Layer]) -> str:
    """The name of the snapshot that holds these layers, one over the other."""
    chain = layers[0].diff_id
    for layer in layers[1:]:
        chain = f"sha256:{hashlib.sha256(f'{chain} {layer.diff_id}'.encode()).hexdigest()}"
    return chain


def write(
    path: Path, name: str, layers: Sequence[Layer], environment: dict[str, str], *command: str
) -> None:
    """Writes the archive of an image.

    Args:
        path: of the archive.
        name: of the image, with its tag.
        layers: the lowest first.
        environment: variables of its containers.
        command: entry point.
    """
    blobs: dict[str, bytes] = {}

    def blob(value: Any, kind: str) -> dict[str, Any]:
        data = json.dumps(value).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        blobs[digest] = data
        return {"mediaType": f"{_TYPES}.{kind}.v1+json", "digest": digest, "size": len(data)}

    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": [f"{key}={value}" for key, value in environment.items()],
            "Entrypoint": list(command),
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_TYPES}.manifest.v1+json",
        "config": blob(config, "config"),
        "layers": [
            {
                "mediaType": f"{_TYPES}.layer.v1.tar",
                "digest": layer.diff_id,
                "size": layer.tar.stat().st_size if layer.tar is not None else 0,
            }
            for layer in layers
        ],
    }
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    index = {
        "schemaVersion": 2,
        "manifests": [{**blob(manifest, "manifest"), "annotations": names}],
    }
    with tarfile.open(path, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(archive, "index.json", json.dumps(index).encode())
        for digest, data in blobs.items():
            _add(archive, _blob_path(digest), data)
        for layer in layers:
            if layer.tar is not None:
                archive.add(layer.tar, _blob_path(layer.diff_id))


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
