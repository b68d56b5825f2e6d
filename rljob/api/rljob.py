"""The RLJob object."""

from typing import Literal

from pydantic import ConfigDict, Field

from rljob.api.algorithm import AlgorithmSpec
from rljob.api.base import (
    BY_NAME,
    CONTROLLER,
    DNS_LABEL,
    JOB_NAME,
    LARGEST_INT,
    UNIQUE,
    ObjectName,
    Part,
)
from rljob.api.buffer import BufferSpec
from rljob.api.code import CodeSpec
from rljob.api.data import DataSpec
from rljob.api.evaluation import EvaluationSpec
from rljob.api.gang import GangSpec
from rljob.api.model import ModelSpec
from rljob.api.network import NetworkSpec
from rljob.api.rollout import RolloutSpec
from rljob.api.run_policy import RunPolicySpec
from rljob.api.schedule import ScheduleSpec
from rljob.api.status import RLJobStatus
from rljob.api.storage import StorageSpec
from rljob.api.tracking import TrackingSpec
from rljob.api.trainer import TrainerSpec
from rljob.api.weights import WeightsSpec

API_VERSION: Literal["rljob.dev/v1alpha1"] = "rljob.dev/v1alpha1"
KIND: Literal["RLJob"] = "RLJob"


class ObjectMeta(Part):
    """Kubernetes' metadata; rljob uses only the name and the namespace."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(
        pattern=JOB_NAME,
        max_length=40,  # child names add a suffix and must stay under 63
        description="Name of the job.",
    )
    namespace: str = Field(
        "default", pattern=DNS_LABEL, max_length=63, description="Namespace of the job."
    )
    labels: dict[str, str] = Field(default_factory=dict, description="Labels of the job.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations of the job.")


class RLJobSpec(Part):
    """The desired state of a job."""

    suspend: bool = Field(False, description="Hold the job without pods (Kueue-compatible).")
    managed_by: str = Field(
        "rljob.dev/operator",
        pattern=CONTROLLER,
        max_length=63,
        description="The controller that runs this job.",
    )
    seed: int = Field(
        1, ge=0, le=LARGEST_INT, description="Seed of the data order, of sampling and of training."
    )
    colocate: bool = Field(
        False, description="Trainer and engines share the same GPUs, taking turns."
    )
    device: Literal["auto", "cpu"] = Field(
        "auto",
        description="auto: GPUs (always on Kubernetes; with `rljob run`, if the machine has any); "
        "cpu: no GPUs.",
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        None,
        description="When images are pulled (on Kubernetes). Default: Always for the tag latest, "
        "else IfNotPresent.",
    )
    image_pull_secrets: list[ObjectName] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra=UNIQUE,
        description="Secrets for pulling the images (on Kubernetes).",
    )
    model: ModelSpec = Field(description="The policy.")
    data: DataSpec = Field(description="The prompts.")
    algorithm: AlgorithmSpec = Field(
        default_factory=AlgorithmSpec, description="How the policy learns."
    )
    schedule: ScheduleSpec = Field(description="Batches, staleness and intervals.")
    trainer: TrainerSpec = Field(default_factory=TrainerSpec, description="The trainer.")
    rollout: RolloutSpec = Field(default_factory=RolloutSpec, description="The rollout.")
    weights: WeightsSpec = Field(
        default_factory=WeightsSpec, description="The transfer of weights to the engines."
    )
    buffer: BufferSpec = Field(default_factory=BufferSpec, description="The buffer.")
    network: NetworkSpec = Field(default_factory=NetworkSpec, description="The network.")
    storage: StorageSpec = Field(default_factory=StorageSpec, description="Volumes.")
    evaluation: list[EvaluationSpec] = Field(
        default_factory=list,
        max_length=64,
        json_schema_extra=BY_NAME,
        description="Held-out data sets.",
    )
    code: CodeSpec = Field(default_factory=CodeSpec, description="The user's own code.")
    gang: GangSpec = Field(default_factory=GangSpec, description="Gang scheduling.")
    run_policy: RunPolicySpec = Field(
        default_factory=RunPolicySpec, description="Restarts, deadline and clean-up."
    )
    tracking: TrackingSpec = Field(default_factory=TrackingSpec, description="Metric sinks.")


class RLJob(Part):
    """A reinforcement-learning post-training run of a language model."""

    api_version: Literal["rljob.dev/v1alpha1"] = Field(description="rljob.dev/v1alpha1")
    kind: Literal["RLJob"] = Field(description="RLJob")
    metadata: ObjectMeta = Field(description="Name and namespace.")
    spec: RLJobSpec = Field(description="The desired state.")
    status: RLJobStatus | None = Field(None, description="The observed state.")

    @property
    def key(self) -> str:
        """`namespace/name`, the job's identity in the buffer."""
        return f"{self.metadata.namespace}/{self.metadata.name}"
