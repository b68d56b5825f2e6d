"""A job with all its objects, without what differs between two equal lives."""

import base64
import json
import re
from typing import Any

from rljob_operator import names
from rljob_operator.children.keys import derive
from rljob_operator.key import NAME as KEY
from rljob_operator.kind import CHILDREN, POD
from tests.cluster.client import Client, Manifest
from tests.cluster.crd import RESOURCE

_KINDS = [kind for kind in CHILDREN if not kind.optional]
_TIMES = {
    "lastTransitionTime",
    "startTime",
    "completionTime",
    "activeSince",
    "activeSeconds",
    "since",
    "last",
}
_GIVEN = ("clusterIP", "clusterIPs", "volumeName")  # by the cluster, at random
_COUNTS = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
_VOLUME = re.compile(r"(pv|volume)\.")
_SECRET_NAME = re.compile(r"-keys-[0-9a-f]{8}\b")
_POD_NAME = re.compile(r"-(rollout|router)-[a-z0-9]+-[a-z0-9]{5}\b")


class Snapshots:
    """Takes the snapshots of one life.

    Hashes are told as the number of the value among those that were there before, so that one that
    changes, or does not, can be compared with another life's.
    """

    def __init__(self, client: Client, job: str, words: dict[str, str]) -> None:
        """
        Args:
            client: in the job's namespace.
            job: its name.
            words: what stands for texts that are this life's own.
        """
        self._client = client
        self._job = job
        self._words = words
        self._hashes: dict[str, list[str]] = {}
        self._seen: dict[str, list[str]] = {}
        self._key: bytes = b""

    def take(self) -> dict[str, Any]:
        """As it is now; `keep` makes its hashes known."""
        self._seen = {name: list(known) for name, known in self._hashes.items()}
        job = self._client.find(RESOURCE, self._job)
        found: dict[str, Any] = {}
        if job is not None:
            self._words[job["metadata"]["uid"]] = "UID"
            found["job"] = self._of_the_job(job)
        for kind in _KINDS:
            for each in self._list(kind.api_version, kind.plural):
                place = f"{kind.name}/{each['metadata']['name']}"
                found[place] = self._of_a_child(place, each)
        found["pods"] = [self._of_a_pod(each) for each in self._list(POD.api_version, POD.plural)]
        text = json.dumps(found, indent=1, sort_keys=True)
        for word, stands in self._words.items():
            text = text.replace(word, stands)
        text = _SECRET_NAME.sub("-keys-UID", _POD_NAME.sub(r"-\1-*", text))
        plain: dict[str, Any] = json.loads(text)
        plain["pods"].sort(key=json.dumps)
        return plain

    def keep(self) -> None:
        """The snapshot that was taken last counts."""
        self._hashes = self._seen

    def _list(self, version: str, plural: str) -> list[Manifest]:
        return self._client.list(f"{version}/{plural}", f"{names.LABEL_JOB}={self._job}")

    def _of_the_job(self, job: Manifest) -> Manifest:
        status = _without_times(job.get("status", {}))
        metadata = job["metadata"]
        return {
            "spec": job["spec"],
            "status": status,
            "generation": metadata["generation"],
            "finalizers": metadata.get("finalizers"),
            "deleting": "deletionTimestamp" in metadata,
        }

    def _of_a_child(self, place: str, child: Manifest) -> Manifest:
        metadata = child["metadata"]
        annotations = self._numbered(place, metadata.get("annotations", {}))
        made = {
            "labels": metadata["labels"],
            "annotations": annotations,
            "finalizers": metadata.get("finalizers"),
            "owners": metadata.get("ownerReferences"),
            "deleting": "deletionTimestamp" in metadata,
        }
        if "spec" in child:
            made["spec"] = self._spec(place, child["spec"])
        if "data" in child:
            secret = child.get("type") == "Opaque"
            made["data"] = self._secret(child) if secret else child["data"]
        if "template" in child.get("spec", {}):
            status = child["status"]
            made["status"] = {name: status.get(name, 0) for name in _COUNTS}
            made["current"] = status.get("observedGeneration") == metadata["generation"]
        return made

    def _spec(self, place: str, spec: Manifest) -> Manifest:
        made = {name: value for name, value in spec.items() if name not in _GIVEN}
        if "template" in made:
            template = json.loads(json.dumps(made["template"]))
            metadata = template["metadata"]
            metadata["annotations"] = self._numbered(place, metadata.get("annotations", {}))
            made["template"] = template
        return made

    def _of_a_pod(self, pod: Manifest) -> Manifest:
        metadata, status = pod["metadata"], pod.get("status", {})
        labels = metadata["labels"]
        role = labels[names.LABEL_ROLE]
        conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
        containers = status.get("containerStatuses", [])
        return {
            "name": metadata["name"],
            "role": role,
            "annotations": self._numbered(f"pods/{role}", metadata.get("annotations", {})),
            "phase": status.get("phase"),
            "ready": conditions.get("Ready"),
            "restarts": [one["restartCount"] for one in containers],
            "deleting": "deletionTimestamp" in metadata,
        }

    def _numbered(self, place: str, annotations: dict[str, str]) -> dict[str, str]:
        # Those of volumes are the controllers' own, and come in their own time.
        found = {name: value for name, value in annotations.items() if not _VOLUME.match(name)}
        for name in (names.ANNOTATION_APPLIED, names.ANNOTATION_INPUTS, names.ANNOTATION_READS):
            if name in found:
                # Templates and their pods share what they read.
                known = self._seen.setdefault(name if "reads" in name else f"{place} {name}", [])
                if found[name] not in known:
                    known.append(found[name])
                found[name] = f"value {known.index(found[name])}"
        return found

    def _secret(self, secret: Manifest) -> dict[str, str]:
        """Whether the entries are what the operator's key and the job's uid make of them."""
        if not self._key:
            data = self._client.get("v1/secrets", KEY)["data"]
            self._key = base64.b64decode(data["cluster.key"])
        [owner] = secret["metadata"]["ownerReferences"]
        return {
            name: "derived"
            if base64.b64decode(value).decode() == derive(self._key, owner["uid"], name)
            else "something else"
            for name, value in secret["data"].items()
        }


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(each) for name, each in value.items() if name not in _TIMES}
    return [_without_times(each) for each in value] if isinstance(value, list) else value
