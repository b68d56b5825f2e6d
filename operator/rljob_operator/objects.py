"""The parts of the API server's objects that are read; the rest of the JSON is skipped."""

import sys
from dataclasses import replace
from datetime import datetime

from msgspec import Raw, Struct, field

from rljob_operator import names
from rljob_operator.observed import Child, Pod, Ref, Termination


class OwnerReference(Struct):
    """An owner; the controller is the one that acts."""

    uid: str
    kind: str = ""
    name: str = ""
    controller: bool = False


class ManagedFields(Struct, rename="camel"):
    """Who wrote which fields; `time` has the resolution of seconds."""

    manager: str = ""
    operation: str = ""
    time: str = ""
    subresource: str = ""
    fields: Raw = field(name="fieldsV1", default_factory=Raw)


class Labels(Struct):
    """The labels that the operator reads."""

    job: str = field(name=names.LABEL_JOB, default="")
    role: str = field(name=names.LABEL_ROLE, default="")
    revision: str = field(name=names.LABEL_REVISION, default="")


class Annotations(Struct):
    """The annotations that the operator reads."""

    applied: str = field(name=names.ANNOTATION_APPLIED, default="")
    inputs: str = field(name=names.ANNOTATION_INPUTS, default="")
    made_by: str = field(name=names.ANNOTATION_MADE_BY, default="")
    deletion_cost: str = field(name=names.ANNOTATION_DELETION_COST, default="")


class Metadata(Struct, rename="camel"):
    """The part of metadata that is read."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: Labels = field(default_factory=Labels)
    annotations: Annotations = field(default_factory=Annotations)
    owner_references: list[OwnerReference] = field(default_factory=list)
    managed_fields: list[ManagedFields] = field(default_factory=list)

    @property
    def version(self) -> int:
        """The resource version, which grows with every write to the cluster."""
        return int(self.resource_version)

    @property
    def controller(self) -> OwnerReference:
        """The owner that is the controller; an empty one if there is none."""
        owners = (owner for owner in self.owner_references if owner.controller)
        return next(owners, OwnerReference(""))


class JobProgress(Struct):
    """Progress of a job."""

    rollout: int = 0
    rollouts: int = 0
    reward: float | None = None


class JobWeights(Struct):
    """The published weights."""

    version: int = 0


class JobStatus(Struct):
    """The part of a job's status that metrics export."""

    phase: str = "Pending"
    progress: JobProgress = field(default_factory=JobProgress)
    weights: JobWeights = field(default_factory=JobWeights)


class Partial(Struct):
    """An object of which only the metadata is read."""

    metadata: Metadata


class Condition(Struct):
    """One aspect of a pod or a workload."""

    type: str
    status: str
    message: str = ""


class WorkloadSpec(Struct):
    """Spec of a StatefulSet or a Deployment."""

    replicas: int = 1


class WorkloadStatus(Struct, rename="camel"):
    """Status of a StatefulSet or a Deployment."""

    observed_generation: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    update_revision: str = ""
    conditions: list[Condition] = field(default_factory=list)


class Workload(Struct):
    """A StatefulSet or a Deployment."""

    metadata: Metadata
    spec: WorkloadSpec = field(default_factory=WorkloadSpec)
    status: WorkloadStatus = field(default_factory=WorkloadStatus)


class Waiting(Struct):
    """Why a container waits."""

    reason: str = ""
    message: str = ""


class Terminated(Struct, rename="camel"):
    """How a container ended."""

    exit_code: int
    reason: str = ""
    message: str = ""
    finished_at: datetime | None = None


class ContainerState(Struct):
    """State of a container; at most one of the fields is set."""

    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(Struct, rename="camel"):
    """Status of a container."""

    name: str
    restart_count: int = 0
    state: ContainerState = field(default_factory=ContainerState)
    last_state: ContainerState = field(default_factory=ContainerState)


class PodStatus(Struct, rename="camel"):
    """A pod's status."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    ip: str = field(name="podIP", default="")
    conditions: list[Condition] = field(default_factory=list)
    container_statuses: list[ContainerStatus] = field(default_factory=list)
    init_container_statuses: list[ContainerStatus] = field(default_factory=list)


class PodObject(Struct):
    """A pod."""

    metadata: Metadata
    status: PodStatus = field(default_factory=PodStatus)


def child(kind: str, item: Workload | Partial) -> Child:
    """Convert a child for reconcile; `owned` and `foreign` are set by the cache."""
    metadata = item.metadata
    common = Child(
        ref=Ref(kind, metadata.name),
        uid=metadata.uid,
        owned=True,
        deleting=metadata.deletion_timestamp is not None,
        applied=metadata.annotations.applied,
        # Interned, because all children of a job share it, and there may be ten thousand jobs.
        inputs=metadata.annotations.inputs,
        made_by=sys.intern(metadata.annotations.made_by),
        owner=sys.intern(f"{metadata.controller.kind} {metadata.controller.name}".strip()),
    )
    if isinstance(item, Partial):
        return common
    return replace(
        common,
        replicas=item.spec.replicas,
        ready=item.status.ready_replicas,
        updated=item.status.updated_replicas,
        current=item.status.observed_generation >= metadata.generation,
        revision=sys.intern(item.status.update_revision),
        trouble=next(
            (
                condition.message
                for condition in item.status.conditions
                if condition.type == "ReplicaFailure" and condition.status == "True"
            ),
            "",
        ),
    )


_STARTING = {"", "ContainerCreating", "PodInitializing"}  # normal reasons for waiting


def pod(item: PodObject) -> Pod:
    """Convert a pod for reconcile."""
    metadata, status = item.metadata, item.status
    role = metadata.labels.role
    containers = status.container_statuses
    # The role's container has the role's name; an overlay may add others.
    main = next((one for one in containers if one.name == role), None) or next(
        iter(containers), ContainerStatus("")
    )
    cost = metadata.annotations.deletion_cost
    trouble = _trouble(status, main)
    return Pod(
        name=metadata.name,
        uid=metadata.uid,
        role=role,
        phase=status.phase,
        ready=any(one.type == "Ready" and one.status == "True" for one in status.conditions),
        deleting=metadata.deletion_timestamp is not None,
        ip=status.ip,
        restarts=main.restart_count,
        termination=_termination(main),
        waiting=trouble[0],
        trouble=trouble[1],
        reason=status.reason,
        deletion_cost=int(cost) if cost.removeprefix("-").isdecimal() else None,
        created=metadata.creation_timestamp,
        gone_by=metadata.deletion_timestamp,
        revision=sys.intern(metadata.labels.revision),
    )


def _termination(container: ContainerStatus) -> Termination | None:
    ended = container.state.terminated or container.last_state.terminated
    if ended is None:
        return None
    return Termination(ended.exit_code, ended.reason, ended.message.strip(), ended.finished_at)


def _trouble(status: PodStatus, main: ContainerStatus) -> tuple[str, str]:
    """Why a container waits, and the pod's message about it."""
    for condition in status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            return "", condition.message
    for container in (main, *status.init_container_statuses, *status.container_statuses):
        waiting = container.state.waiting
        if waiting is not None and waiting.reason not in _STARTING:
            said = f"{waiting.reason}: {waiting.message}" if waiting.message else waiting.reason
            return waiting.reason, said
    return "", status.message
