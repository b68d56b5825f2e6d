"""Builds the megatron-core model of a Hugging Face config."""

from typing import Any

import torch
from megatron.core.models.gpt import GPTModel
from megatron.core.transformer.module import Float16Module

from rljob.api.trainer import TrainerSpec
from rljob.errors import UsageError
from rljob_trainer.megatron.layer_spec import block_spec
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.megatron.rope import llama3_frequencies
from rljob_trainer.megatron.transformer_config import transformer_config
from rljob_trainer.megatron.value_head import ValueHead
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.config import ModelConfig
from rljob_trainer.models.decoder import ROUTER_BIAS_NAME
from rljob_trainer.models.rotary import Llama3Scaling
from rljob_trainer.models.table import padded_vocabulary


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype that spec.model.dtype means on this device."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]


def build_model(
    architecture: Architecture,
    config: ModelConfig,
    spec: TrainerSpec,
    parallel: Parallel,
    dtype: torch.dtype,
    *,
    values: bool = False,
) -> Any:
    """Builds a GPTModel with random weights, on the process's device.

    With `values` it has a `ValueHead` in place of the output layer. megatron-core marks parameters
    as split over ranks only where it initializes them, and the gradient norm relies on the marks.
    So they are initialized although a checkpoint follows.

    Raises:
        UsageError: the sizes can't be split over the tensor-parallel ranks, or megatron-core
            refuses a field of spec.trainer.megatron.
    """
    _check_split(config, parallel.tp_size)
    if (config.experts or config.latent) and not spec.parallelism.sequence and parallel.tp_size > 1:
        raise UsageError(
            "spec.trainer.parallelism.sequence: found false, allowed: true, as the model has "
            "experts or latent attention and spec.trainer.parallelism.tensor is above 1"
        )
    transformer = transformer_config(architecture, config, spec, parallel, dtype)
    model = GPTModel(
        config=transformer,
        transformer_layer_spec=block_spec(transformer, architecture, config, parallel.device),
        vocab_size=padded_vocabulary(config.vocabulary, parallel.tp_size),
        max_sequence_length=config.positions,
        parallel_output=True,
        share_embeddings_and_output_weights=config.tied and not values,
        position_embedding_type="rope",
        rotary_base=config.rope_base,
        rotary_percent=config.rotary_percent,
    )
    if values:
        model.output_layer = ValueHead(transformer).to(parallel.device)
    if isinstance(config.rope_scaling, Llama3Scaling):
        rope = model.rotary_pos_emb
        rope.inv_freq = llama3_frequencies(rope.inv_freq, config.rope_scaling)
    if dtype != torch.bfloat16:
        return model
    half = Float16Module(transformer, model)
    for name, buffer in half.named_buffers():
        if name.endswith(ROUTER_BIAS_NAME):  # megatron-core computes with it in float32
            buffer.data = buffer.data.float()
    return half


def _check_split(config: ModelConfig, size: int) -> None:
    counts = {
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.groups,
        "intermediate_size": config.ffn,
    }
    if config.experts:
        counts["moe_intermediate_size"] = config.experts.ffn
        counts["moe_intermediate_size of the shared experts"] = config.experts.shared_ffn
    for name, count in counts.items():
        if count % size:
            raise UsageError(
                f"spec.trainer.parallelism.tensor: found {size}, allowed: a divisor of the model's "
                f"{name}, {count}"
            )
