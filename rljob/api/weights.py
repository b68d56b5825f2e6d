"""How weights reach the engines."""

from typing import Literal

from pydantic import Field

from rljob.api.base import Part, PositiveFloat, PositiveInt


class WeightsSpec(Part):
    """The transfer of weights from the trainer to the engines."""

    transport: Literal["broadcast", "disk", "ipc"] = Field(
        "broadcast",
        description="broadcast: NCCL (gloo on CPU); disk: through the run's storage, if there "
        "is no common network (on Kubernetes its claim is ReadWriteMany); ipc: directly from the "
        "trainer's memory, if engines are colocated or everything runs on one machine's CPUs.",
    )
    full_interval: PositiveInt = Field(
        1,
        description="Transport disk only: number of versions from one with all weights to the "
        "next; versions in between are compressed deltas.",
    )
    pause_mode: Literal["retract", "in_place", "abort"] = Field(
        "retract",
        description="What an engine does with running generations during an update. retract: "
        "they continue afterwards with a recomputed cache; in_place: with their old cache; "
        "abort: they start over.",
    )
    bucket_mebibytes: PositiveInt = Field(
        512, description="Maximum size of the buckets in which weights are sent, in MiB."
    )
    timeout_seconds: PositiveFloat = Field(
        120.0, description="Seconds after which an engine that does not take part is left out."
    )
