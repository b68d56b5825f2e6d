"""A job as reconcile works on it: what is wanted, what was told, what is seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from rljob.api import RLJob
from rljob.api.status import Condition, ConditionType, RLJobStatus
from rljob_operator import names
from rljob_operator.observed import Child, Observed, Pod, Ref

WORKLOADS = {
    "trainer": "StatefulSet",
    "rollout": "Deployment",
    "buffer": "StatefulSet",
    "router": "Deployment",
}


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a job, whatever its spec says.

    Args:
        name: of the job.
        uid: of the job.
        generation: of the spec.
        observed: the job's own children and pods, and the report of a trainer that is there.
        status: as it was told last.
        now: the time.
    """

    name: str
    uid: str
    generation: int
    observed: Observed
    status: RLJobStatus
    now: datetime

    @property
    def deleting(self) -> bool:
        """Whether the job is being deleted."""
        return bool(self.observed.manifest["metadata"].get("deletionTimestamp"))

    @property
    def has_finalizer(self) -> bool:
        """Whether the job waits for the operator before it goes."""
        return names.FINALIZER in (self.observed.manifest["metadata"].get("finalizers") or [])

    def workload(self, role: str) -> Child | None:
        """The StatefulSet or Deployment of a role; None: it is not there."""
        return self.observed.children.get(Ref(WORKLOADS[role], f"{self.name}-{role}"))

    def pods(self, role: str) -> list[Pod]:
        """The pods of a role that are neither over nor on their way out."""
        return [
            pod
            for pod in self.observed.pods
            if pod.role == role and not pod.deleting and not pod.over
        ]

    def ready(self, role: str) -> int:
        """How many of these are ready."""
        return sum(pod.ready for pod in self.pods(role))

    @property
    def report(self) -> Mapping[str, Any]:
        """The trainer's numbers; empty where there are none."""
        return self.observed.report.body if self.observed.report is not None else {}


@dataclass(frozen=True, slots=True)
class State(Look):
    """One look at a job whose spec is valid.

    Args:
        job: what is wanted.
    """

    job: RLJob


def look(observed: Observed, now: datetime) -> Look:
    """One look at a job."""
    metadata = observed.manifest["metadata"]
    return Look(
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        generation=int(metadata.get("generation", 0)),
        observed=_own(observed),
        status=last_status(observed.manifest),
        now=now,
    )


def with_job(seen: Look, job: RLJob) -> State:
    """The same look, with what is wanted."""
    return State(
        seen.name, seen.uid, seen.generation, seen.observed, seen.status, seen.now, job=job
    )


def _own(observed: Observed) -> Observed:
    """Without pods of other labels or of an earlier job of this name, and what those tell."""
    metadata = observed.manifest["metadata"]
    made = metadata.get("creationTimestamp")
    since = datetime.fromisoformat(made) if made else None
    pods = tuple(
        pod
        for pod in observed.pods
        if pod.role in WORKLOADS and (since is None or pod.created is None or pod.created >= since)
    )
    first = f"{metadata['name']}-trainer-0"
    tells = any(
        pod.name == first and pod.ready and not pod.deleting and not pod.over for pod in pods
    )
    return replace(observed, pods=pods, report=observed.report if tells else None)


def last_status(manifest: Mapping[str, Any]) -> RLJobStatus:
    """What was told last; what can't be read of it counts as not told.

    Another version of the operator may have written fields that this one does not know; that a job
    has ended must not be forgotten for that.
    """
    status = manifest.get("status")
    kept = dict(status) if isinstance(status, Mapping) else {}
    while True:
        try:
            return RLJobStatus.model_validate(kept)
        except ValidationError as error:
            readable = _without(kept, [each["loc"] for each in error.errors()])
        if readable == kept:
            return RLJobStatus()
        kept = readable


def _without(status: Mapping[str, Any], places: Sequence[tuple[int | str, ...]]) -> dict[str, Any]:
    """Without the fields, and those of the conditions, in which something is wrong."""
    conditions = {place[1] for place in places if place[0] == "conditions" and len(place) > 1}
    fields = {place[0] for place in places if not (place[0] == "conditions" and conditions)}
    kept = {name: value for name, value in status.items() if name not in fields}
    if conditions:
        kept["conditions"] = [
            each for at, each in enumerate(status["conditions"]) if at not in conditions
        ]
    return kept


def holds(status: RLJobStatus, condition: ConditionType) -> bool:
    """Whether a condition was told as True."""
    return any(each.type == condition and each.status == "True" for each in status.conditions)


def find(status: RLJobStatus, condition: ConditionType) -> Condition | None:
    """A condition as it was told last."""
    return next((each for each in status.conditions if each.type == condition), None)
