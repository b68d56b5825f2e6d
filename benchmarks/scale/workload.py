"""The jobs of the benchmark, and the objects that belong to a job."""

import asyncio
import json
import time
from typing import Any

from benchmarks.scale.api import Api, Manifest
from rljob_operator.kind import CHILDREN, RLJOB, Kind
from rljob_operator.names import LABEL_JOB

NAMESPACE = "scale"
KINDS = tuple(kind for kind in CHILDREN if not kind.optional)
PODS_PER_JOB = 5  # trainer, buffer, router and two rollouts
_POLL = 0.25  # s
_QUIET = 3.0  # s without a new child, after which the job has all of them
_PATIENCE = 60.0  # s for a single job


def job(name: str) -> Manifest:
    """A job with four roles and every kind of child except claims: its storage claim exists."""
    return {
        "apiVersion": RLJOB.api_version,
        "kind": RLJOB.name,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "model": {"checkpoint": "/models/Qwen3-4B"},
            "data": {"prompts": ["/data/train.jsonl"]},
            "schedule": {"rollouts": 300, "rolloutBatchSize": 16, "globalBatchSize": 128},
            "trainer": {"gpusPerReplica": 1},
            "rollout": {"replicas": 2, "gpusPerReplica": 1},
            "storage": {"run": {"claimName": "runs"}},
        },
    }


async def children(api: Api, owner: Manifest) -> list[tuple[Kind, Manifest]]:
    """All objects that the job owns, as they are on the server."""
    uid, name = owner["metadata"]["uid"], owner["metadata"]["name"]
    found = []
    for kind in KINDS:
        query = {"labelSelector": f"{LABEL_JOB}={name}"}
        for item in (await api.request("GET", kind.path(NAMESPACE), **query))["items"]:
            owners = item["metadata"].get("ownerReferences", [])
            if any(one["uid"] == uid for one in owners):
                item.update(apiVersion=kind.api_version, kind=kind.name)
                found.append((kind, item))
    return found


async def complete(api: Api, name: str) -> tuple[Manifest, list[tuple[Kind, Manifest]]]:
    """Waits until the only job has all its children; returns the job and its children.

    Raises:
        TimeoutError: they are not complete after a minute.
    """
    began = changed = time.monotonic()
    names: set[str] = set()
    while True:
        owner = await api.request("GET", RLJOB.path(NAMESPACE, name))
        found = await children(api, owner)
        now = {f"{kind.name}/{item['metadata']['name']}" for kind, item in found}
        if now != names:
            names, changed = now, time.monotonic()
        if "status" in owner and names and time.monotonic() > changed + _QUIET:
            return owner, found
        if time.monotonic() > began + _PATIENCE:
            raise TimeoutError(f"job {name} has {sorted(names)}, status {owner.get('status')}")
        await asyncio.sleep(_POLL)


async def counts(api: Api) -> dict[Kind, int]:
    """Objects of each kind in the namespace."""
    return {kind: await api.count(kind.path(NAMESPACE)) for kind in KINDS}


class Prepared:
    """The objects of one job as text, from which those of other jobs are made."""

    def __init__(self, owner: Manifest, objects: list[tuple[Kind, Manifest]]) -> None:
        self._name = owner["metadata"]["name"]
        self._uid = owner["metadata"]["uid"]
        self._texts = [
            (kind, json.dumps(_sent(item)), item["metadata"]["name"]) for kind, item in objects
        ]

    def of(self, name: str, uid: str) -> list[tuple[Kind, str, bytes]]:
        """Kind, name and JSON of each object of the job with this name and uid."""
        return [
            (
                kind,
                own.replace(self._name, name),
                text.replace(self._name, name).replace(self._uid, uid).encode(),
            )
            for kind, text, own in self._texts
        ]


def _sent(item: Manifest) -> Manifest:
    """A manifest without what the server and the controllers have added."""
    keep = ("name", "namespace", "labels", "annotations", "ownerReferences")
    metadata = {key: value for key, value in item["metadata"].items() if key in keep}
    rest: dict[str, Any] = {
        key: value for key, value in item.items() if key not in ("metadata", "status")
    }
    if item["kind"] == "Service" and rest["spec"].get("clusterIP") != "None":
        addresses = ("clusterIP", "clusterIPs")
        rest["spec"] = {key: one for key, one in rest["spec"].items() if key not in addresses}
    return {**rest, "metadata": metadata}
