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
    wandb: WandbSpec | None = Field(
        None,
        description="Weights & Biases: the same numbers. The trainer needs the extra wandb, and "
        "WANDB_API_KEY in its environment (docs/monitoring.md). Default: off.",
    )
