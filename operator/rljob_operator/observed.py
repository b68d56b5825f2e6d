"""The observed state of one job: the input of `reconcile`, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple


class Ref(NamedTuple):
    """A child of a job; its namespace is the job's."""

    kind: str  # e.g. StatefulSet
    name: str


@dataclass(frozen=True, slots=True)
class Child:
    """A child in the cluster, with the fields that reconcile uses.

    Args:
        ref: kind and name.
        uid: uid of the object.
        owned: whether its controller is the job with the current uid.
        inputs: hash of what the job itself said about its pods when it was applied last; "" for
            children without pods.
        made_by: the operator that applied it last; "" for children without pods.
        owner: kind and name of its controller, e.g. "RLJob math"; "" if there is none.
        deleting: whether it is being deleted.
        applied: hash of what the operator applied last, from its annotation; "" if there is none.
        foreign: the manager that took over some of the operator's fields; None: none did.
        replicas: spec.replicas; 0 if the kind has none.
        ready: ready replicas.
        updated: replicas with the newest template.
        current: whether its controller has observed the newest generation.
        revision: revision of the newest template of a StatefulSet; pods have theirs.
        trouble: why it can't create its pods, in Kubernetes' words; "" if nothing is known.
    """

    ref: Ref
    uid: str
    owned: bool
    deleting: bool
    applied: str
    inputs: str = ""
    made_by: str = ""
    owner: str = ""
    foreign: str | None = None
    replicas: int = 0
    ready: int = 0
    updated: int = 0
    current: bool = True
    revision: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Termination:
    """How a container ended.

    Args:
        exit_code: exit code of its main process.
        reason: Kubernetes' reason, e.g. Error, OOMKilled, Completed.
        message: content of its termination file; "" if it is empty.
        at: when it ended.
    """

    exit_code: int
    reason: str
    message: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a job.

    Args:
        name: name of the pod.
        uid: uid of the pod.
        role: trainer, rollout, buffer or router, from its label.
        phase: Pending, Running, Succeeded, Failed or Unknown.
        ready: whether its Ready condition is True.
        deleting: whether it is being deleted.
        ip: "" while it has none.
        restarts: restarts of its role's container.
        termination: last termination of that container; None: it has not ended.
        waiting: why a container waits, e.g. ImagePullBackOff; "" if none waits, or only to start.
        trouble: message on why it can't be scheduled, pulled or started; "" if there is none.
        reason: reason of a failed pod, e.g. Evicted; "" otherwise.
        deletion_cost: its pod-deletion-cost annotation; None: it has none.
        created: creation time.
        gone_by: end of the grace period of a pod that is being deleted.
        revision: revision of the StatefulSet's template that it has; "" for other pods.
    """

    name: str
    uid: str
    role: str
    phase: str
    ready: bool
    deleting: bool
    ip: str
    restarts: int
    termination: Termination | None
    waiting: str
    trouble: str
    reason: str
    deletion_cost: int | None
    created: datetime | None = None
    gone_by: datetime | None = None
    revision: str = ""

    @property
    def over(self) -> bool:
        """Whether it has ended for good; the object remains, and another pod replaces it."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Report:
    """The trainer's /status as last read.

    Args:
        at: when it was read.
        body: the JSON object; see the trainer's Recorder.
    """

    at: datetime
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server's refusal of a child.

    Args:
        applied: hash of the child, like `Child.applied`.
        message: the server's message.
    """

    applied: str
    message: str


@dataclass(frozen=True, slots=True, order=True)
class Denial:
    """An action that the API server denies, or that failed when it was last tried.

    Args:
        verb: what was to be done, e.g. apply; see rljob_operator.denials.
        ref: the object.
        message: the server's message.
        passing: it failed because of the server's state or the network, not because of a quota, a
            policy or a right.
        fresh: it failed in passing, for the first time in a row: the next try may well succeed.
    """

    verb: str
    ref: Ref
    message: str
    passing: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the cluster supports besides the core, and the operator's key and images.

    Args:
        kinds: "group/Kind" of the installed kinds of other projects that the operator uses, e.g.
            "monitoring.coreos.com/PodMonitor".
        key: the operator's own secret, from which the keys of every job are derived.
        images: default container images of `trainer` and `rollout`.
    """

    kinds: frozenset[str] = frozenset()
    key: bytes = field(default=b"", repr=False)
    images: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """One job and everything that belongs to it.

    Args:
        manifest: the RLJob object from the API server, without managedFields.
        children: children by kind and name.
        pods: pods of the job, sorted by name.
        report: the trainer's report; None: there is none since this operator started.
        cluster: what the cluster supports.
        taken: children that can't be created, because an object of others has the name.
        refused: children that the API server refused.
        denials: actions that the API server denied, or that failed, when they were last tried.
    """

    manifest: Mapping[str, Any]
    children: Mapping[Ref, Child] = field(default_factory=dict)
    pods: tuple[Pod, ...] = ()
    report: Report | None = None
    cluster: Cluster = field(default_factory=Cluster)
    taken: frozenset[Ref] = frozenset()
    refused: Mapping[Ref, Refusal] = field(default_factory=dict)
    denials: tuple[Denial, ...] = ()

    def is_denied(self, verb: str, ref: Ref) -> bool:
        """Whether this was denied by an answer that stays until someone changes something."""
        return any(
            (each.verb, each.ref) == (verb, ref) for each in self.denials if not each.passing
        )

    def is_undone(self, verb: str, ref: Ref) -> bool:
        """Whether this was denied or failed."""
        return any((each.verb, each.ref) == (verb, ref) for each in self.denials)
