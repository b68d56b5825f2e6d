"""Where metrics go besides Prometheus."""

from pydantic import Field

from rljob.api.base import Part


class WandbSpec(Part):
    """Weights & Biases."""

    project: str = Field(min_length=1, description="Project.")
    group: str | None = Field(None, description="Group of the run.")


class TrackingSpec(Part):
    """Metric sinks."""

    tensorboard: bool = Field(True, description="Write TensorBoard files to the run directory.")
    wandb: WandbSpec | None = Field(None, description="Weights & Biases. Default: off.")
