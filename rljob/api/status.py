"""What the operator, or `rljob run`, reports about a job."""

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from rljob.api.base import NonNegativeInt, Part

Phase = Literal["Pending", "Starting", "Running", "Suspended", "Succeeded", "Failed"]
ConditionType = Literal[
    "Accepted",
    "Permitted",
    "Scheduled",
    "BufferReady",
    "TrainerReady",
    "RolloutReady",
    "WeightsInSync",
    "Suspended",
    "Succeeded",
    "Failed",
]


class Condition(Part):
    """One aspect of the job, as a Kubernetes condition."""

    type: ConditionType = Field(description="The aspect.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(description="Reason, one word in CamelCase.")
    message: str = Field("", description="Human-readable message.")
    observed_generation: NonNegativeInt = Field(0, description="Generation that was observed.")
    last_transition_time: AwareDatetime = Field(description="When status last changed.")


class Progress(Part):
    """Progress of training."""

    rollout: NonNegativeInt = Field(0, description="Rollout batches trained on.")
    rollouts: NonNegativeInt = Field(0, description="Rollout batches in total.")
    display: str = Field("", description="rollout/rollouts, as tables show it.")
    reward: float | None = Field(None, description="Mean reward of the last rollout batch.")
    eta_seconds: NonNegativeInt | None = Field(None, description="Estimated seconds left.")


class WeightsStatus(Part):
    """Weight versions and the engines' group."""

    version: NonNegativeInt = Field(0, description="Published weight version.")
    epoch: NonNegativeInt = Field(0, description="Membership epoch of the update group.")
    members: NonNegativeInt = Field(0, description="Engines in the epoch.")
    lagging: NonNegativeInt = Field(0, description="Live engines with an older version.")


class BufferStatus(Part):
    """Groups in the buffer."""

    admitted: NonNegativeInt = Field(0, description="Groups admitted and not consumed.")
    leased: NonNegativeInt = Field(0, description="Of these, leased by workers.")
    ready: NonNegativeInt = Field(0, description="Of these, completed.")


class RolloutStatus(Part):
    """The rollout, also for the scale subresource."""

    replicas: NonNegativeInt = Field(0, description="Rollout pods that exist.")
    ready: NonNegativeInt = Field(0, description="Of these, ready.")
    desired: NonNegativeInt = Field(0, description="Rollout replicas wanted now.")
    selector: str = Field("", description="Label selector of the rollout pods.")
    autoscaling: dict[str, Any] = Field(
        default_factory=dict, description="Internal state of autoscaling by rate."
    )


class PodFailures(Part):
    """Failures of one pod's container."""

    last: str = Field(description="Time and cause of the last failure that was counted.")
    count: NonNegativeInt = Field(0, description="Failures since training last made progress.")


class FailuresStatus(Part):
    """Failures of containers, as they count against backoffLimit."""

    since_progress: NonNegativeInt = Field(
        0,
        description="Failures since training last made progress: for each role, those of its pod "
        "that failed most often. The job fails when this exceeds backoffLimit.",
    )
    reached: NonNegativeInt = Field(0, description="The furthest rollout batch trained on so far.")
    pods: dict[str, PodFailures] = Field(
        default_factory=dict, description="Failures by name of the pod."
    )


class RLJobStatus(Part):
    """The observed state of a job."""

    phase: Phase = Field("Pending", description="Phase of the job.")
    reason: str = Field("", description="Reason of the condition that keeps the job from running.")
    conditions: list[Condition] = Field(default_factory=list, description="Aspects of the job.")
    observed_generation: NonNegativeInt = Field(0, description="Generation last acted on.")
    progress: Progress = Field(default_factory=Progress, description="Progress of training.")
    weights: WeightsStatus = Field(default_factory=WeightsStatus, description="Weights.")
    buffer: BufferStatus = Field(default_factory=BufferStatus, description="Buffer.")
    rollout: RolloutStatus = Field(default_factory=RolloutStatus, description="Rollout.")
    restarts: NonNegativeInt = Field(0, description="Restarts after failures since it began.")
    failures: FailuresStatus = Field(
        default_factory=FailuresStatus, description="Failures that count against backoffLimit."
    )
    reused_run: str = Field(
        "", description="Whose run the job goes on with, if its claim held one; else empty."
    )
    start_time: AwareDatetime | None = Field(None, description="When the job was first active.")
    completion_time: AwareDatetime | None = Field(None, description="When it succeeded or failed.")
    active_since: AwareDatetime | None = Field(
        None, description="Start of the current active period; null while suspended or finished."
    )
    active_seconds: NonNegativeInt = Field(
        0, description="Seconds for which the job was active before activeSince."
    )
