"""The operator's cache of the cluster: jobs, their children and pods, in compact form."""

import sys
import zlib
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from rljob_operator.foreign import last_writer, own_fields
from rljob_operator.kind import POD, RLJOB, Kind
from rljob_operator.objects import JobStatus, Metadata, Partial, PodObject, Workload, child, pod
from rljob_operator.observed import Child, Cluster, Observed, Pod, Ref, Refusal, Report

Item = Partial | Workload | PodObject


@dataclass(frozen=True, slots=True)
class Job:
    """A job, in a form that allows to cache ten thousand of them.

    Args:
        uid: uid of the object.
        version: resource version.
        packed: the manifest without managedFields, as compressed JSON: a quarter of its size.
        summary: the part of the status that metrics export.
    """

    uid: str
    version: int
    packed: bytes
    summary: JobStatus

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest from the API server."""
        found: dict[str, Any] = msgspec.json.decode(zlib.decompress(self.packed))
        return found


@dataclass(slots=True)
class _Child:
    """A child, and who wrote to it.

    Args:
        kind: kind of the object; two kinds have the same name.
        seen: the child as last seen.
        version: resource version.
        owner: uid of its controller.
        fields: digest of the fields that the operator owns now.
        applied_fields: the same after the operator's last apply; it differs if another manager has
            taken over a field.
        writer: the last writer apart from the operator.
    """

    kind: Kind
    seen: Child
    version: int
    owner: str
    fields: int
    applied_fields: int
    writer: str

    @property
    def foreign(self) -> str | None:
        return None if self.fields == self.applied_fields else self.writer


class Cache:
    """The cache, by the jobs' keys ("namespace/name").

    Older versions of an object are ignored: the reply to the operator's own write takes effect at
    once, and the watch event for it, which arrives later, is not a change.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        """Create an empty cache.

        Args:
            changed: called with the key of each job that needs a pass.
        """
        self._changed = changed
        self._jobs: dict[str, Job] = {}
        self._children: dict[str, dict[Ref, _Child]] = {}
        self._pods: dict[str, dict[str, tuple[Pod, int]]] = {}
        self._taken: dict[str, set[Ref]] = {}
        self._refused: dict[str, dict[Ref, Refusal]] = {}

    def jobs(self) -> list[tuple[str, Job]]:
        """All jobs by key; may be called from another thread."""
        return list(self._jobs.items())

    def pods(self, key: str) -> Iterable[Pod]:
        """The pods of a job."""
        return [known for known, _ in self._pods.get(key, {}).values()]

    def observed(self, key: str, report: Report | None, cluster: Cluster) -> Observed | None:
        """A job with everything that belongs to it; None: there is no such job."""
        job = self._jobs.get(key)
        if job is None:
            return None
        pods = self._pods.get(key, {})
        return Observed(
            manifest=job.manifest,
            children={
                ref: _as_of(job, known) for ref, known in self._children.get(key, {}).items()
            },
            pods=tuple(pods[name][0] for name in sorted(pods)),
            report=report,
            cluster=cluster,
            taken=frozenset(self._taken.get(key, ())),
            refused=dict(self._refused.get(key, {})),
        )

    def put_job(self, manifest: Mapping[str, Any]) -> None:
        """Store a job that was created or changed."""
        kept = {
            name: value for name, value in manifest["metadata"].items() if name != "managedFields"
        }
        metadata = msgspec.convert(kept, Metadata)
        key = _key(metadata.namespace, metadata.name)
        known = self._jobs.get(key)
        if known is not None and known.version >= metadata.version:
            return
        packed = zlib.compress(msgspec.json.encode({**manifest, "metadata": kept}), level=1)
        summary = _summary(manifest.get("status"))
        self._jobs[key] = Job(sys.intern(metadata.uid), metadata.version, packed, summary)
        self._changed(key)

    def drop_job(self, key: str, uid: str) -> None:
        """Remove a job that was deleted."""
        known = self._jobs.get(key)
        if known is not None and known.uid == uid:
            del self._jobs[key]
            self._taken.pop(key, None)
            self._refused.pop(key, None)
            self._changed(key)

    def keep_jobs(self, namespace: str | None, there: Container[str], version: int) -> None:
        """Remove all jobs except those with these uids, as of a resource version."""
        for key, job in self.jobs():
            gone = job.uid not in there and job.version <= version
            if gone and _within(key, namespace):
                self.drop_job(key, job.uid)

    def take(self, key: str, ref: Ref) -> bool:
        """Record that a child can't be created: an object of others has its name.

        Returns:
            Whether this is new; the job then gets another pass.
        """
        taken = self._taken.setdefault(key, set())
        if ref in taken:
            return False
        taken.add(ref)
        self._changed(key)
        return True

    def refuse(self, key: str, ref: Ref, refusal: Refusal) -> bool:
        """Record that a child can't be created or changed: the API server refuses it.

        Returns:
            Whether this is new; the job then gets another pass.
        """
        refused = self._refused.setdefault(key, {})
        if refused.get(ref) == refusal:
            return False
        refused[ref] = refusal
        self._changed(key)
        return True

    def applied(self, kind: Kind, item: Item) -> None:
        """Store an object from the server's reply to a write of the operator."""
        if isinstance(item, PodObject):
            self.put(kind, item)
            return
        key, ref = _place(kind, item)
        if key in self._refused:
            self._refused[key].pop(ref, None)
        known = self._children.get(key, {}).get(ref)
        fields = own_fields(item.metadata)
        if known is not None and known.version > item.metadata.version:
            known.applied_fields = fields  # a newer write by another; the digests show takeovers
            return
        self._put_child(key, kind, item, fields, fields)

    def put(self, kind: Kind, item: Item) -> None:
        """Store an object that was created or changed."""
        if isinstance(item, PodObject):
            self._put_pod(item)
            return
        key, ref = _place(kind, item)
        known = self._children.get(key, {}).get(ref)
        fields = own_fields(item.metadata)
        if known is None or known.seen.uid != item.metadata.uid:
            # What was applied is not known; a manager that wrote after the operator may have
            # changed it.
            expected = fields if not last_writer(item.metadata, only_later=True) else 0
        elif known.version >= item.metadata.version:
            return
        else:
            expected = known.applied_fields
        self._put_child(key, kind, item, fields, expected)

    def drop(self, kind: Kind, item: Item) -> None:
        """Remove an object that was deleted."""
        key, ref = _place(kind, item)
        self._drop(kind, key, ref, item.metadata.uid)

    def keep(self, kind: Kind, namespace: str | None, there: Container[str], version: int) -> None:
        """Remove all objects of a kind except those with these uids, like `keep_jobs`."""
        for key, ref, uid, at in list(self._known(kind)):
            if uid not in there and at <= version and _within(key, namespace):
                self._drop(kind, key, ref, uid)

    def _known(self, kind: Kind) -> Iterable[tuple[str, Ref, str, int]]:
        """Job, name, uid and version of all objects of a kind."""
        if kind is POD:
            for key, pods in self._pods.items():
                for name, (seen, version) in pods.items():
                    yield key, Ref(POD.name, name), seen.uid, version
        else:
            for key, children in self._children.items():
                for ref, known in children.items():
                    if known.kind is kind:
                        yield key, ref, known.seen.uid, known.version

    def _put_child(
        self, key: str, kind: Kind, item: Partial | Workload, fields: int, applied_fields: int
    ) -> None:
        seen = child(kind.name, item)
        known = self._children.setdefault(key, {}).get(seen.ref)
        if key in self._taken:
            self._taken[key].discard(seen.ref)
        new = _Child(
            kind=kind,
            seen=known.seen if known is not None and known.seen == seen else seen,
            version=item.metadata.version,
            owner=sys.intern(item.metadata.controller.uid),
            fields=fields,
            applied_fields=applied_fields,
            writer=last_writer(item.metadata),
        )
        self._children[key][seen.ref] = new
        if known is None or (known.seen, known.owner, known.foreign) != (
            new.seen,
            new.owner,
            new.foreign,
        ):
            self._changed(key)

    def _put_pod(self, item: PodObject) -> None:
        seen = pod(item)
        key = _key(item.metadata.namespace, item.metadata.labels.job)
        pods = self._pods.setdefault(key, {})
        known = pods.get(seen.name)
        if known is not None and known[0].uid == seen.uid and known[1] >= item.metadata.version:
            return
        pods[seen.name] = (seen, item.metadata.version)
        if known is None or known[0] != seen:
            self._changed(key)

    def _drop(self, kind: Kind, key: str, ref: Ref, uid: str) -> None:
        if kind is POD:
            pods = self._pods.get(key, {})
            if ref.name not in pods or pods[ref.name][0].uid != uid:
                return
            del pods[ref.name]
            if not pods:
                del self._pods[key]
        else:
            children = self._children.get(key, {})
            if ref not in children or children[ref].seen.uid != uid:
                return
            del children[ref]
            if not children:
                del self._children[key]
        self._changed(key)


def _summary(status: Any) -> JobStatus:
    try:
        return msgspec.convert(status or {}, JobStatus)
    except msgspec.ValidationError:
        return JobStatus()  # an invalid status is only missing in the metrics


def _as_of(job: Job, known: _Child) -> Child:
    owned, foreign = known.owner == job.uid, known.foreign
    if (owned, foreign) == (known.seen.owned, known.seen.foreign):
        return known.seen
    return replace(known.seen, owned=owned, foreign=foreign)


def _place(kind: Kind, item: Item) -> tuple[str, Ref]:
    metadata, owner = item.metadata, item.metadata.controller
    # A child is found by its controller, so changing its label does not detach it.
    job = owner.name if owner.kind == RLJOB.name else metadata.labels.job
    return _key(metadata.namespace, job), Ref(kind.name, metadata.name)


def _key(namespace: str, job: str) -> str:
    return f"{namespace}/{job}"


def _within(key: str, namespace: str | None) -> bool:
    return namespace is None or key.startswith(f"{namespace}/")
