"""Which policy is trained, and from which weights."""

from typing import Any, Literal

from pydantic import Field

from rljob.api.base import FilePath, Part, Text


class ModelSpec(Part):
    """The policy and its frozen reference."""

    preset: Text | None = Field(
        None, description="Name of a published model whose architecture is known, e.g. qwen3-4b."
    )
    architecture: dict[str, Any] | None = Field(
        None,
        description="The architecture by hand, in the terms of a Hugging Face config.json. "
        "Default: read from the checkpoint.",
    )
    checkpoint: FilePath = Field(
        description="Directory with the initial weights: Hugging Face (config.json and "
        "safetensors) or Megatron torch_dist, detected. On a laptop a relative path starts at the "
        "manifest.",
    )
    reference: FilePath | None = Field(
        None,
        description="Directory of the frozen reference policy for the KL term. "
        "Default: the checkpoint.",
    )
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        "auto",
        description="Number format of the trainer's and the engines' weights. auto: bfloat16 on "
        "GPUs, float32 on CPU.",
    )
