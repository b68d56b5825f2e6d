"""How weights reach the engines."""

from typing import Literal

from pydantic import Field

from rljob.api.base import Part, PositiveFloat, PositiveInt


class WeightsSpec(Part):
    """The exchange of weights between the trainer and the engines."""

    transport: Literal["broadcast", "disk", "ipc"] = Field(
        "broadcast",
        description="broadcast: NCCL (gloo on CPU); disk: where there is no common network; "
        "ipc: colocated.",
    )
    pause_mode: Literal["retract", "in_place", "abort"] = Field(
        "retract",
        description="What an engine does with running generations during an update. retract: "
        "they go on afterwards with their cache computed anew; in_place: with their old cache; "
        "abort: they start again.",
    )
    bucket_mebibytes: PositiveInt = Field(512, description="Size of a broadcast bucket, in MiB.")
    timeout_seconds: PositiveFloat = Field(
        120.0, description="Seconds after which an engine that does not take part is left out."
    )
