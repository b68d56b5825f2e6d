"""What the builders of children are given, and what they give."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from rljob.api import RLJob
from rljob.api.rljob import API_VERSION, KIND
from rljob_operator import names
from rljob_operator.observed import Cluster, Ref


@dataclass(frozen=True, slots=True)
class Want:
    """Replicas of each role that must run now; 0: the role rests."""

    trainer: int
    rollout: int
    buffer: int
    router: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A child as it must stand.

    Args:
        ref: kind and name.
        manifest: complete, as it is applied.
        once: created where it is missing, and never changed.
        on_trial: it has parts of the user's that only the API server can judge.
    """

    ref: Ref
    manifest: Mapping[str, Any]
    once: bool = False
    on_trial: bool = False

    @property
    def role(self) -> str:
        """To which it belongs; "": to all."""
        labels: Mapping[str, str] = self.manifest["metadata"]["labels"]
        return labels.get(names.LABEL_ROLE, "")

    @property
    def applied(self) -> str:
        """The hash that an up-to-date child carries."""
        annotations: Mapping[str, str] = self.manifest["metadata"]["annotations"]
        return annotations[names.ANNOTATION_APPLIED]


@dataclass(frozen=True, slots=True)
class Subject:
    """The job whose children are built.

    Args:
        job: as the API server has it; paths are absolute.
        uid: of the job.
        want: replicas.
        cluster: what the cluster can do, and the operator's own settings.
    """

    job: RLJob
    uid: str
    want: Want
    cluster: Cluster

    @property
    def name(self) -> str:
        """Of the job, and the beginning of its children's names."""
        return self.job.metadata.name


def child(
    subject: Subject,
    kind: str,
    api_version: str,
    name: str,
    body: Mapping[str, Any],
    *,
    role: str | None = None,
    once: bool = False,
    on_trial: bool = False,
    outlives: bool = False,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Wanted:
    """A child with its metadata.

    Args:
        subject: the job.
        kind: of the child.
        api_version: of the kind.
        name: of the child.
        body: all but apiVersion, kind and metadata.
        role: to which it belongs; None: to all.
        once: see Wanted.
        on_trial: see Wanted.
        outlives: stays when the job is deleted.
        labels: besides those of all children.
    """
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": subject.job.metadata.namespace,
        "labels": {**labels, **names.labels(subject.name, role)},
    }
    if not outlives:
        metadata["ownerReferences"] = [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": subject.name,
                "uid": subject.uid,
                "controller": True,
            }
        ]
    manifest = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}
    metadata["annotations"] = {names.ANNOTATION_APPLIED: digest(manifest)}
    return Wanted(Ref(kind, name), manifest, once, on_trial)


def digest(value: Any) -> str:
    """16 hexadecimal digits that differ where two JSON values differ."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
