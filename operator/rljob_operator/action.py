"""Decisions of `reconcile`: actions as plain data, which `apply` performs in order."""

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
        uid: uid that the object must have; "": it must not exist, so that an object of others is
            never taken over; None: any (for kinds that are not watched).
        on_trial: only the API server can validate it; a dry run comes before anything of the
            decision is written.
    """

    ref: Ref
    manifest: Mapping[str, Any]
    uid: str | None = None
    on_trial: bool = False


@dataclass(frozen=True, slots=True)
class Create:
    """Creation of a child that must never be overwritten (a claim, a Secret).

    It is not an error if it exists already: another pass was faster.
    """

    ref: Ref
    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scale:
    """Scales a workload (merge patch); not an error if it is gone already.

    It changes nothing else. So a job can be stopped even if its spec is no longer valid, and scaled
    without the pods that another version of the operator would make.

    Args:
        ref: StatefulSet or Deployment.
        uid: uid of the object; another one with its name is left unchanged.
        replicas: the new number.
    """

    ref: Ref
    uid: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletion of a child or a pod in the background; not an error if it is gone already.

    Args:
        ref: the child.
        uid: uid of the object; another one with its name is left unchanged.
    """

    ref: Ref
    uid: str


@dataclass(frozen=True, slots=True)
class Annotate:
    """Sets annotations of a pod (merge patch); not an error if it is gone already."""

    pod: str
    annotations: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Keep:
    """Stops a pod and keeps it, with its logs, until the job is deleted.

    It becomes the job's own, so that its workload neither removes nor restarts it, and its deadline
    passes at once, so that the kubelet stops it for good. Not an error if it is gone already.

    Args:
        pod: name of the pod.
        uid: its uid; another pod with its name is left unchanged.
    """

    pod: str
    uid: str


@dataclass(frozen=True, slots=True)
class Finalizer:
    """Sets or removes the operator's finalizer on the job."""

    present: bool


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Deletes the job itself, after ttlSecondsAfterFinished."""


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes event on the job; `reason` is one of rljob_operator.reason."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


Action = Apply | Create | Scale | Delete | Annotate | Keep | Finalizer | DeleteJob


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of one pass over a job.

    Args:
        actions: in order.
        status: the complete new status; written after the actions, and only if it differs. None:
            the object is gone or not managed by this operator, and nothing is written.
        events: posted after the status is written.
        requeue: time until the next pass, even if nothing changes. None: wait for a change.
    """

    actions: tuple[Action, ...] = ()
    status: Mapping[str, Any] | None = None
    events: tuple[Event, ...] = ()
    requeue: timedelta | None = None
