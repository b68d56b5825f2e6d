"""What the operator knows about one job: the input of `reconcile`, plain data without a client."""

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
    """A child as it stands in the cluster, without what reconcile does not ask for.

    Args:
        ref: kind and name.
        uid: of the object.
        owned: whether the job of the present uid is its controller.
        owner: kind and name of its controller, e.g. "RLJob math"; "" without one.
        deleting: whether it is being deleted.
        applied: hash of what the operator applied last, from its annotation; "" without one.
        foreign: the manager who has taken over some of the operator's fields; None: nobody has.
        replicas: wanted (spec.replicas); 0 where the kind has none.
        ready: ready replicas.
        updated: replicas of the newest template.
        current: the controller has seen the newest generation.
        revision: of the newest template, where it is a StatefulSet; pods carry theirs.
        trouble: why it can't make its pods, in Kubernetes' words; "" where nothing is known.
    """

    ref: Ref
    uid: str
    owned: bool
    deleting: bool
    applied: str
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
        exit_code: of its main process.
        reason: Kubernetes' word, e.g. Error, OOMKilled, Completed.
        message: what the role left in its termination file; "" where it left nothing.
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
        name: of the pod.
        uid: of the pod.
        role: trainer, rollout, buffer or router, from its label.
        phase: Pending, Running, Succeeded, Failed or Unknown.
        ready: whether its Ready condition is True.
        deleting: whether it is being deleted.
        ip: "" while it has none.
        restarts: of its role's container.
        termination: the last end of that container; None: it has not ended.
        waiting: why a container waits, e.g. ImagePullBackOff; "" where none does, but to start.
        trouble: the pod's own words: why it can't be scheduled, pulled, started; "" where none.
        reason: of a failed pod, e.g. Evicted; "" otherwise.
        deletion_cost: its pod-deletion-cost annotation; None: it has none.
        created: when it was made.
        gone_by: when a pod that is being deleted should have gone.
        revision: of the template of a StatefulSet that it was made from; "" for other pods.
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
        """Whether it has ended for good; it stays as a record, and another is in its place."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Report:
    """The trainer's /status as it was read last.

    Args:
        at: when it was read.
        body: the JSON object; see the trainer's Recorder.
    """

    at: datetime
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the API server said of a child that it did not take.

    Args:
        applied: hash of the child, as `Child.applied`.
        message: its own words.
    """

    applied: str
    message: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the cluster can do besides the core: kinds of other projects that are installed.

    Args:
        kinds: "group/Kind" of those that the operator would use, e.g.
            "monitoring.coreos.com/PodMonitor".
        key: the operator's own secret, from which the keys of every job are derived.
        images: default container images of `trainer` and `rollout`.
    """

    kinds: frozenset[str] = frozenset()
    key: bytes = field(default=b"", repr=False)
    images: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """One job and all that belongs to it.

    Args:
        manifest: the RLJob object as the API server has it, without managedFields.
        children: those that carry the job's label, by kind and name.
        pods: of the job, in the order of their names.
        report: the trainer's; None: it was not read since this operator began, or there is none.
        cluster: what the cluster can do.
        taken: children that can't be made, because an object that is not the job's has the name.
        refused: children that the API server did not take.
    """

    manifest: Mapping[str, Any]
    children: Mapping[Ref, Child] = field(default_factory=dict)
    pods: tuple[Pod, ...] = ()
    report: Report | None = None
    cluster: Cluster = field(default_factory=Cluster)
    taken: frozenset[Ref] = frozenset()
    refused: Mapping[Ref, Refusal] = field(default_factory=dict)
