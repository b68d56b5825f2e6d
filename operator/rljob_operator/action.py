"""What `reconcile` decides: the actions, as plain data that `apply` performs in their order."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from rljob_operator.observed import Ref


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of a child, with force: the operator owns what it states.

    Args:
        ref: the child.
        manifest: complete, with the hash annotation, labels and owner reference.
        uid: of the object that it has to be; "": there has to be none, so that an object that is
            not the job's is never taken over; None: whatever there is (what is not watched).
        on_trial: only the API server can tell whether it is valid; it is asked before anything of
            the decision is written.
    """

    ref: Ref
    manifest: Mapping[str, Any]
    uid: str | None = None
    on_trial: bool = False


@dataclass(frozen=True, slots=True)
class Create:
    """Creation of a child that must never be overwritten (a claim).

    That it exists already is no error: another pass was faster.
    """

    ref: Ref
    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scale:
    """Brings a workload to fewer replicas (merge patch); that it has gone already is no error.

    It needs nothing of the spec, so a job comes to rest also where its spec is no longer valid.

    Args:
        ref: StatefulSet or Deployment.
        uid: only this very object; another of its name stays as it is.
        replicas: from now on.
    """

    ref: Ref
    uid: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletion of a child, or of a pod, in the background; that it has gone already is no error.

    Args:
        ref: the child.
        uid: only this very object; another of its name stays.
    """

    ref: Ref
    uid: str


@dataclass(frozen=True, slots=True)
class Annotate:
    """Sets annotations of a pod (merge patch); that it has gone already is no error."""

    pod: str
    annotations: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Finalizer:
    """Sets or removes the operator's finalizer on the job."""

    present: bool


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Deletes the job itself (its time to live is over)."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event on the job, for a person; `reason` is one of rljob_operator.reason."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


Action = Apply | Create | Scale | Delete | Annotate | Finalizer | DeleteJob


@dataclass(frozen=True, slots=True)
class Decision:
    """All that follows from one look at a job.

    Args:
        actions: in their order.
        status: the whole status as it must stand; written once, after the actions, and only where
            it differs. None: the object has gone or is not this operator's, nothing is written.
        events: told once the status is written.
        requeue: look again after this time, even if nothing changes. None: only a change matters.
    """

    actions: tuple[Action, ...] = ()
    status: Mapping[str, Any] | None = None
    events: tuple[Event, ...] = ()
    requeue: timedelta | None = None
