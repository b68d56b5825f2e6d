"""Volumes for claims, as a storage driver makes them."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.client import ApiError, Client

STORAGE_CLASS = "standard"
_CLAIMS = "v1/persistentvolumeclaims"
_RETRY_SECONDS = 0.5


# The fields of a volume's spec that say where it is, by the name of the volume.
VolumeSource = Callable[[str], dict[str, Any]]


def simulated(name: str) -> dict[str, Any]:
    """No storage at all: kwok's pods write nothing."""
    return {"csi": {"driver": "rljob.dev", "volumeHandle": name}}


class Provisioner:
    """Makes a volume for each claim of the class, and removes it with the claim.

    A claim of another class stays pending, as it does where a class does not exist.
    """

    def __init__(self, config: Path, source: VolumeSource = simulated) -> None:
        self._source = source
        self._client = Client(config, namespace="")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="provisioner", daemon=True)

    def start(self) -> None:
        self._client.apply(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {
                    "name": STORAGE_CLASS,
                    "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                },
                "provisioner": "rljob.dev/test",
            }
        )
        self._thread.start()

    def stop(self) -> None:
        """To be called before the API server is stopped."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(_RETRY_SECONDS):
            # The API server may be away for a time; tests stop it.
            with contextlib.suppress(httpx.TransportError, ApiError):
                self._follow()

    def _follow(self) -> None:
        listed = self._client.request("GET", self._client.path(_CLAIMS))
        for claim in listed["items"]:
            self._provide(claim)
        for event in self._client.watch(_CLAIMS, listed["metadata"]["resourceVersion"]):
            if event["type"] == "ERROR" or self._stop.is_set():
                return
            if event["type"] == "DELETED":
                self._remove(event["object"])
            else:
                self._provide(event["object"])

    def _provide(self, claim: dict[str, Any]) -> None:
        spec = claim["spec"]
        if spec.get("storageClassName") != STORAGE_CLASS or "volumeName" in spec:
            return
        metadata = {key: claim["metadata"][key] for key in ("namespace", "name", "uid")}
        self._client.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": _name(claim)},
                "spec": {
                    "capacity": {"storage": spec["resources"]["requests"]["storage"]},
                    "accessModes": spec["accessModes"],
                    "storageClassName": STORAGE_CLASS,
                    "persistentVolumeReclaimPolicy": "Retain",
                    "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **metadata},
                    **self._source(_name(claim)),
                },
            }
        )

    def _remove(self, claim: dict[str, Any]) -> None:
        self._client.discard("v1/persistentvolumes", _name(claim))  # it may never have had one


def _name(claim: dict[str, Any]) -> str:
    return f"pvc-{claim['metadata']['uid']}"
