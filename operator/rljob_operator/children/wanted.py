"""Input and output types of the builders of children."""

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
    """Replicas of each role that must run now; 0: the role is stopped."""

    trainer: int
    rollout: int
    buffer: int
    router: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """The desired state of a child.

    Args:
        ref: kind and name.
        manifest: complete, as it is applied.
        once: created if it is missing, and never changed.
        on_trial: it contains user input that only the API server can validate (dry run).
    """

    ref: Ref
    manifest: Mapping[str, Any]
    once: bool = False
    on_trial: bool = False

    @property
    def role(self) -> str:
        """The role that the child belongs to; "": all roles."""
        labels: Mapping[str, str] = self.manifest["metadata"]["labels"]
        return labels.get(names.LABEL_ROLE, "")

    @property
    def applied(self) -> str:
        """The hash in the annotation of an up-to-date child."""
        return self._annotation(names.ANNOTATION_APPLIED)

    @property
    def inputs(self) -> str:
        """Hash of what the job itself says about the child's pods; "": it has none."""
        return self._annotation(names.ANNOTATION_INPUTS)

    @property
    def made_by(self) -> str:
        """This operator, where the child has pods; see rljob_operator.children.inputs."""
        return self._annotation(names.ANNOTATION_MADE_BY)

    def _annotation(self, name: str) -> str:
        annotations: Mapping[str, str] = self.manifest["metadata"]["annotations"]
        return annotations.get(name, "")


@dataclass(frozen=True, slots=True)
class Subject:
    """The job whose children are built.

    Args:
        job: the job from the API server; paths are absolute.
        uid: uid of the job.
        want: replicas.
        cluster: what the cluster supports, and the operator's own settings.
    """

    job: RLJob
    uid: str
    want: Want
    cluster: Cluster

    @property
    def name(self) -> str:
        """Name of the job, and prefix of its children's names."""
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
    annotations: Mapping[str, str] = MappingProxyType({}),
) -> Wanted:
    """A child with its metadata.

    Args:
        subject: the job.
        kind: kind of the child.
        api_version: API version of the kind.
        name: name of the child.
        body: the manifest without apiVersion, kind and metadata.
        role: the role that it belongs to; None: all roles.
        once: see Wanted.
        on_trial: see Wanted.
        outlives: whether it stays when the job is deleted.
        labels: labels besides those of all children.
        annotations: annotations besides the hash.
    """
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": subject.job.metadata.namespace,
        "labels": {**labels, **names.labels(subject.name, role)},
    }
    if not outlives:
        metadata["ownerReferences"] = [owner(subject.name, subject.uid)]
    manifest = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}
    if annotations:
        metadata["annotations"] = dict(annotations)
    metadata["annotations"] = {**annotations, names.ANNOTATION_APPLIED: digest(manifest)}
    return Wanted(Ref(kind, name), manifest, once, on_trial)


def owner(name: str, uid: str) -> dict[str, Any]:
    """The owner reference to a job."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": name,
        "uid": uid,
        "controller": True,
    }


def digest(value: Any) -> str:
    """A hash of a JSON value, 16 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
