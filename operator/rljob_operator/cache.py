"""What the operator knows of the cluster: jobs, their children and pods, slim."""

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
    """A job; ten thousand of them are held.

    Args:
        uid: of the object.
        version: resource version.
        packed: the manifest without managedFields, as compressed JSON: a quarter of its size.
        summary: the part of the status that metrics tell.
    """

    uid: str
    version: int
    packed: bytes
    summary: JobStatus

    @property
    def manifest(self) -> dict[str, Any]:
        """As the API server has it."""
        found: dict[str, Any] = msgspec.json.decode(zlib.decompress(self.packed))
        return found


@dataclass(slots=True)
class _Child:
    """A child, and who wrote to it.

    Args:
        kind: of the object; two have the same name.
        seen: as it stands.
        version: resource version.
        owner: uid of its controller.
        fields: digest of the fields that the operator owns now.
        applied_fields: the same after the operator's last apply; they differ where another has
            taken one over.
        writer: who wrote last, apart from the operator.
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
    """All that is known, by the jobs' keys ("namespace/name").

    Versions only grow: what is older than what is known is left out, so that the reply to an own
    write counts at once, and the watch's word of it, which comes later, is no news.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        """Empty.

        Args:
            changed: told the key of a job that has to be looked at.
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
        """A job with all that belongs to it; None: there is no such job."""
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
        """A job was made or changed."""
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
        """A job has gone."""
        known = self._jobs.get(key)
        if known is not None and known.uid == uid:
            del self._jobs[key]
            self._taken.pop(key, None)
            self._refused.pop(key, None)
            self._changed(key)

    def keep_jobs(self, namespace: str | None, there: Container[str], version: int) -> None:
        """Forgets all jobs but those with these uids, which were there at a resource version."""
        for key, job in self.jobs():
            gone = job.uid not in there and job.version <= version
            if gone and _within(key, namespace):
                self.drop_job(key, job.uid)

    def take(self, key: str, ref: Ref) -> bool:
        """A child can't be made: an object that is not the job's has its name.

        Returns:
            Whether that was not known; the job is looked at again then.
        """
        taken = self._taken.setdefault(key, set())
        if ref in taken:
            return False
        taken.add(ref)
        self._changed(key)
        return True

    def refuse(self, key: str, ref: Ref, refusal: Refusal) -> bool:
        """A child can't be made or changed: the API server does not take it.

        Returns:
            Whether that was not known; the job is looked at again then.
        """
        refused = self._refused.setdefault(key, {})
        if refused.get(ref) == refusal:
            return False
        refused[ref] = refusal
        self._changed(key)
        return True

    def applied(self, kind: Kind, item: Item) -> None:
        """The operator has just written this object, and the server said that it is so now."""
        if isinstance(item, PodObject):
            self.put(kind, item)
            return
        key, ref = _place(kind, item)
        if key in self._refused:
            self._refused[key].pop(ref, None)
        known = self._children.get(key, {}).get(ref)
        fields = own_fields(item.metadata)
        if known is not None and known.version > item.metadata.version:
            known.applied_fields = fields  # another was faster; where he took something, it shows
            return
        self._put_child(key, kind, item, fields, fields)

    def put(self, kind: Kind, item: Item) -> None:
        """An object was made or changed."""
        if isinstance(item, PodObject):
            self._put_pod(item)
            return
        key, ref = _place(kind, item)
        known = self._children.get(key, {}).get(ref)
        fields = own_fields(item.metadata)
        if known is None or known.seen.uid != item.metadata.uid:
            # Nobody remembers what was applied; who wrote later than the operator may have
            # changed it.
            expected = fields if not last_writer(item.metadata, only_later=True) else 0
        elif known.version >= item.metadata.version:
            return
        else:
            expected = known.applied_fields
        self._put_child(key, kind, item, fields, expected)

    def drop(self, kind: Kind, item: Item) -> None:
        """An object has gone."""
        key, ref = _place(kind, item)
        self._drop(kind, key, ref, item.metadata.uid)

    def keep(self, kind: Kind, namespace: str | None, there: Container[str], version: int) -> None:
        """Forgets all objects of a kind but those with these uids, as `keep_jobs`."""
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
        return JobStatus()  # whoever wrote that: it only misses in the metrics


def _as_of(job: Job, known: _Child) -> Child:
    owned, foreign = known.owner == job.uid, known.foreign
    if (owned, foreign) == (known.seen.owned, known.seen.foreign):
        return known.seen
    return replace(known.seen, owned=owned, foreign=foreign)


def _place(kind: Kind, item: Item) -> tuple[str, Ref]:
    metadata, owner = item.metadata, item.metadata.controller
    # Who changes the label takes no child away with it.
    job = owner.name if owner.kind == RLJOB.name else metadata.labels.job
    return _key(metadata.namespace, job), Ref(kind.name, metadata.name)


def _key(namespace: str, job: str) -> str:
    return f"{namespace}/{job}"


def _within(key: str, namespace: str | None) -> bool:
    return namespace is None or key.startswith(f"{namespace}/")
