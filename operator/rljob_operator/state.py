"""A job as reconcile works on it: what is wanted, what was told, what is seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from rljob.api import RLJob
from rljob.api.status import Condition, ConditionType, RLJobStatus
from rljob_operator.observed import Observed, Pod


@dataclass(frozen=True, slots=True)
class State:
    """One look at a job.

    Args:
        job: its spec, valid.
        uid: of the job.
        generation: of the spec.
        observed: children, pods, the trainer's report.
        status: as it was told last.
        now: the time.
    """

    job: RLJob
    uid: str
    generation: int
    observed: Observed
    status: RLJobStatus
    now: datetime

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


def metadata(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata of an object of the API server."""
    found: Mapping[str, Any] = manifest["metadata"]
    return found


def last_status(manifest: Mapping[str, Any]) -> RLJobStatus:
    """What was told last; a status that can't be read counts as none."""
    try:
        return RLJobStatus.model_validate(manifest.get("status") or {})
    except ValidationError:
        return RLJobStatus()


def holds(status: RLJobStatus, condition: ConditionType) -> bool:
    """Whether a condition was told as True."""
    return any(each.type == condition and each.status == "True" for each in status.conditions)


def find(status: RLJobStatus, condition: ConditionType) -> Condition | None:
    """A condition as it was told last."""
    return next((each for each in status.conditions if each.type == condition), None)
