"""The policy that is trained, and its initial weights."""

from typing import Annotated, Any, Literal

from pydantic import Field

from rljob.api.base import FilePath, Part, Text


def _count(of_what: str, least: int = 1) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "description": f"{of_what}."}


# The fields that rules use; null means unset.
ARCHITECTURE: dict[str, Any] = {
    "properties": {
        "max_position_embeddings": _count("Tokens of the longest sequence"),
        "num_attention_heads": _count("Attention heads of a layer"),
        "num_hidden_layers": _count("Layers"),
        "num_experts": _count("Experts of a layer", 0),
        "n_routed_experts": _count("Experts of a layer (name in DeepSeek V3 and GLM-4.5)", 0),
        "num_local_experts": _count("Experts of a layer (alternative name)", 0),
        "rope_scaling": {
            "type": "object",
            "additionalProperties": True,
            "description": "RoPE scaling.",
        },
        "rope_parameters": {
            "type": "object",
            "additionalProperties": True,
            "description": "RoPE scaling (alternative name).",
        },
    }
}


class ModelSpec(Part):
    """The policy and its frozen reference."""

    preset: Text | None = Field(
        None, description="Name of a published model whose architecture is known, e.g. qwen3-4b."
    )
    architecture: Annotated[dict[str, Any], Field(json_schema_extra=ARCHITECTURE)] | None = Field(
        None,
        description="Explicit architecture, with the fields of a Hugging Face config.json. "
        "Default: read from the checkpoint.",
    )
    checkpoint: FilePath = Field(
        description="Directory with the initial weights: Hugging Face (config.json and "
        "safetensors) or Megatron torch_dist; the format is detected. With `rljob run`, relative "
        "paths start at the manifest's directory.",
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
