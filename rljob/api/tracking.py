"""Where metrics go besides Prometheus."""

from pydantic import Field

from rljob.api.base import Part, Text


class WandbSpec(Part):
    """Weights & Biases."""

    project: Text = Field(description="Project.")
    group: Text | None = Field(None, description="Group of the run.")


class TrackingSpec(Part):
    """Metric sinks."""

    tensorboard: bool = Field(True, description="Write TensorBoard files to the run directory.")
    wandb: WandbSpec | None = Field(None, description="Weights & Biases. Default: off.")
