"""How weights reach the engines."""

from typing import Literal

from pydantic import Field

from rljob.api.base import Part, PositiveFloat, PositiveInt


class WeightsSpec(Part):
    """The exchange of weights between the trainer and the engines."""

    transport: Literal["broadcast", "disk", "ipc"] = Field(
        "broadcast",
        description="broadcast: NCCL (gloo on CPU); disk: through the run's storage, where there "
        "is no common network (on Kubernetes its claim is ReadWriteMany); ipc: out of the "
        "trainer's memory, where engines are colocated, or all runs on the CPUs of one machine.",
    )
    full_interval: PositiveInt = Field(
        1,
        description="Every how many versions the transport disk writes all weights; for those "
        "between only what has changed, compressed.",
    )
    pause_mode: Literal["retract", "in_place", "abort"] = Field(
        "retract",
        description="What an engine does with running generations during an update. retract: "
        "they go on afterwards with their cache computed anew; in_place: with their old cache; "
        "abort: they start again.",
    )
    bucket_mebibytes: PositiveInt = Field(
        512, description="Largest size of the portions in which weights go out, in MiB."
    )
    timeout_seconds: PositiveFloat = Field(
        120.0, description="Seconds after which an engine that does not take part is left out."
    )
