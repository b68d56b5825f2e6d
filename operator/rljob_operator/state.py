"""The state of a job for reconcile: spec, last status and observed objects."""

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
    """An observation of a job, whether or not its spec is valid.

    Args:
        name: name of the job.
        uid: uid of the job.
        generation: generation of the spec.
        observed: the job's own children and pods, and the report of a running trainer.
        status: the last status.
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
        """Whether the job has the operator's finalizer."""
        return names.FINALIZER in (self.observed.manifest["metadata"].get("finalizers") or [])

    def workload(self, role: str) -> Child | None:
        """The StatefulSet or Deployment of a role; None: it does not exist."""
        return self.observed.children.get(Ref(WORKLOADS[role], f"{self.name}-{role}"))

    def pods(self, role: str) -> list[Pod]:
        """The pods of a role that have not ended and are not being deleted."""
        return [
            pod
            for pod in self.observed.pods
            if pod.role == role and not pod.deleting and not pod.over
        ]

    def ready(self, role: str) -> int:
        """The number of these pods that are ready."""
        return sum(pod.ready for pod in self.pods(role))

    @property
    def report(self) -> Mapping[str, Any]:
        """The body of the trainer's report; empty if there is none."""
        return self.observed.report.body if self.observed.report is not None else {}


@dataclass(frozen=True, slots=True)
class State(Look):
    """An observation of a job whose spec is valid.

    Args:
        job: the parsed job.
    """

    job: RLJob


def look(observed: Observed, now: datetime) -> Look:
    """The observation of a job."""
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
    """The same observation, with the parsed job."""
    return State(
        seen.name, seen.uid, seen.generation, seen.observed, seen.status, seen.now, job=job
    )


def _own(observed: Observed) -> Observed:
    """Without foreign pods or pods of an earlier job of this name, and without their report."""
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
    """The last status, without fields that can't be read.

    Another version of the operator may have written unknown fields; that must not make this one
    forget that a job has ended.
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
    """The status without the invalid fields and the invalid conditions."""
    conditions = {place[1] for place in places if place[0] == "conditions" and len(place) > 1}
    fields = {place[0] for place in places if not (place[0] == "conditions" and conditions)}
    kept = {name: value for name, value in status.items() if name not in fields}
    if conditions:
        kept["conditions"] = [
            each for at, each in enumerate(status["conditions"]) if at not in conditions
        ]
    return kept


def holds(status: RLJobStatus, condition: ConditionType) -> bool:
    """Whether a condition is True."""
    return any(each.type == condition and each.status == "True" for each in status.conditions)


def find(status: RLJobStatus, condition: ConditionType) -> Condition | None:
    """A condition of the status; None if it is not set."""
    return next((each for each in status.conditions if each.type == condition), None)
