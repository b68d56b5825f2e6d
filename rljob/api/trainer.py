"""The Megatron trainer."""

from typing import Annotated, Any, Literal

from pydantic import Field

from rljob.api.base import NonNegativeInt, Part, PositiveInt
from rljob.api.passthrough.named import named

# Far above any cluster; a product of three stays within 64 bits.
ParallelSize = Annotated[int, Field(ge=1, le=65536)]
DEFAULT_MAX_TOKENS_PER_GPU = 8192  # where neither a token budget nor a micro-batch size is given


class ParallelismSpec(Part):
    """Megatron's parallel sizes; the remaining factor of the processes is data parallelism."""

    tensor: ParallelSize = Field(1, description="Tensor-parallel size.")
    pipeline: ParallelSize = Field(1, description="Pipeline-parallel size.")
    virtual_pipeline: ParallelSize = Field(
        1,
        description="Parts of the model on each pipeline stage, computed in turns: fewer idle "
        "GPUs, more communication.",
    )
    context: ParallelSize = Field(1, description="Context-parallel size.")
    expert: ParallelSize = Field(1, description="Expert-parallel size.")
    expert_tensor: ParallelSize | None = Field(
        None, description="Tensor-parallel size of experts. Default: that of the other layers."
    )
    sequence: bool = Field(False, description="Sequence parallelism; needs tensor > 1.")


class TrainerSpec(Part):
    """Pods, processes, parallelism and options of the trainer."""

    replicas: PositiveInt = Field(1, description="Trainer pods.")
    gpus_per_replica: PositiveInt = Field(
        1, description="GPUs, and processes, per trainer pod; on a CPU: processes."
    )
    parallelism: ParallelismSpec = Field(
        default_factory=ParallelismSpec, description="Model parallelism."
    )
    max_tokens_per_gpu: PositiveInt | None = Field(
        None,
        description="Token budget of a micro-batch; micro-batches are filled up to it. "
        "Give this or microBatchSize. Default: 8192 if neither is given.",
    )
    micro_batch_size: PositiveInt | None = Field(
        None, description="Samples of a micro-batch, instead of a token budget."
    )
    recompute: Literal["none", "selective", "full"] = Field(
        "none",
        description="Activations that are recomputed in the backward pass instead of being "
        "kept: those of the attention scores (selective), or all within a layer (full).",
    )
    offload_frozen_models: bool = Field(
        False,
        description="Reference and teacher wait in host memory, and are on the GPUs only while "
        "they score a batch.",
    )
    data_workers: NonNegativeInt = Field(
        0,
        description="Processes that read and tokenize prompts ahead of their use; 0: the trainer "
        "does it itself. Prompts and their order do not depend on it.",
    )
    megatron: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of megatron-core's TransformerConfig, passed through; names are "
        "checked against the pinned version.",
    )
    optimizer: dict[str, Any] = Field(
        default_factory=dict,
        json_schema_extra=named("optimizer"),
        description="Fields of megatron-core's OptimizerConfig and learning-rate schedule, passed "
        "through; names are checked against the pinned version.",
    )
    image: str | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description="Container image (on Kubernetes). Default: the operator's.",
    )
    template: dict[str, Any] = Field(
        default_factory=dict, description="Pod template overlay, by strategic merge."
    )
