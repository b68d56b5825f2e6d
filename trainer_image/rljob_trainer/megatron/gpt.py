"""Builds the megatron-core model of a Hugging Face config."""

from typing import Any

import torch
from megatron.core.extensions.transformer_engine import HAVE_TE
from megatron.core.models.gpt import GPTModel
from megatron.core.models.gpt.gpt_layer_specs import (
    get_gpt_layer_local_spec,
    get_gpt_layer_with_transformer_engine_spec,
)
from megatron.core.transformer import TransformerConfig
from megatron.core.transformer.module import Float16Module
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules

from rljob.api.trainer import TrainerSpec
from rljob.errors import UsageError
from rljob_trainer.megatron.local_layer import CausalAttention, RMSNorm
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.megatron.rope import llama3_frequencies
from rljob_trainer.megatron.value_head import ValueHead
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.config import ModelConfig
from rljob_trainer.models.table import padded_vocabulary

# Fields of TransformerConfig that other fields of the manifest set.
_ELSEWHERE = {
    "tensor_model_parallel_size": "spec.trainer.parallelism.tensor",
    "pipeline_model_parallel_size": "spec.trainer.parallelism.pipeline",
    "context_parallel_size": "spec.trainer.parallelism.context",
    "expert_model_parallel_size": "spec.trainer.parallelism.expert",
    "sequence_parallel": "spec.trainer.parallelism.sequence",
    "recompute_granularity": "spec.trainer.recompute",
    "params_dtype": "spec.model.dtype",
    "bf16": "spec.model.dtype",
}


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
    transformer = _transformer_config(architecture, config, spec, parallel, dtype)
    model = GPTModel(
        config=transformer,
        transformer_layer_spec=_layer_spec(transformer, architecture.qk_norm, parallel.device),
        vocab_size=padded_vocabulary(config.vocabulary, parallel.tp_size),
        max_sequence_length=config.positions,
        parallel_output=True,
        share_embeddings_and_output_weights=config.tied and not values,
        position_embedding_type="rope",
        rotary_base=config.rope_base,
    )
    if values:
        model.output_layer = ValueHead(transformer).to(parallel.device)
    if config.rope_scaling:
        rope = model.rotary_pos_emb
        rope.inv_freq = llama3_frequencies(rope.inv_freq, config.rope_scaling)
    return Float16Module(transformer, model) if dtype == torch.bfloat16 else model


def _check_split(config: ModelConfig, size: int) -> None:
    counts = {
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.groups,
        "intermediate_size": config.ffn,
    }
    for name, count in counts.items():
        if count % size:
            raise UsageError(
                f"spec.trainer.parallelism.tensor: found {size}, allowed: a divisor of the model's "
                f"{name}, {count}"
            )


def _transformer_config(
    architecture: Architecture,
    config: ModelConfig,
    spec: TrainerSpec,
    parallel: Parallel,
    dtype: torch.dtype,
) -> Any:
    fields: dict[str, Any] = {
        "num_layers": config.layers,
        "hidden_size": config.hidden,
        "ffn_hidden_size": config.ffn,
        "num_attention_heads": config.heads,
        "num_query_groups": config.groups,
        "kv_channels": config.head_dim,
        "normalization": "RMSNorm",
        "layernorm_epsilon": config.norm_epsilon,
        "qk_layernorm": architecture.qk_norm,
        "gated_linear_unit": True,
        "activation_func": torch.nn.functional.silu,
        "add_bias_linear": False,
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
        "tensor_model_parallel_size": parallel.tp_size,
        "sequence_parallel": spec.parallelism.sequence and parallel.tp_size > 1,
        "params_dtype": dtype,
        "bf16": dtype == torch.bfloat16,
        "use_cpu_initialization": parallel.device.type == "cpu",
        "calculate_per_token_loss": True,  # gradients are summed: the loss is already normalized
        **_recompute(spec.recompute),
    }
    for name in spec.megatron.keys() & _ELSEWHERE.keys():
        raise UsageError(f"spec.trainer.megatron.{name}: set it with {_ELSEWHERE[name]}")
    try:
        return TransformerConfig(**fields | spec.megatron)
    except (AssertionError, TypeError, ValueError) as error:
        raise UsageError(f"spec.trainer.megatron: megatron-core refuses it: {error}") from error


def _recompute(kind: str) -> dict[str, Any]:
    if kind == "full":
        return {
            "recompute_granularity": "full",
            "recompute_method": "uniform",
            "recompute_num_layers": 1,
        }
    return {"recompute_granularity": "selective"} if kind == "selective" else {}


def _layer_spec(transformer: Any, qk_norm: bool, device: torch.device) -> Any:
    """Transformer Engine's layers where it can run, else megatron-core's with our parts."""
    if device.type == "cuda" and HAVE_TE:
        return get_gpt_layer_with_transformer_engine_spec(qk_layernorm=qk_norm)
    layer = get_gpt_layer_local_spec(qk_layernorm=qk_norm, normalization="RMSNorm")
    layer.submodules.input_layernorm = RMSNorm
    layer.submodules.pre_mlp_layernorm = RMSNorm
    attention = layer.submodules.self_attention.submodules
    attention.core_attention = CausalAttention
    if qk_norm:
        attention.q_layernorm = attention.k_layernorm = RMSNorm
    return TransformerBlockSubmodules(
        layer_specs=[layer] * transformer.num_layers, layer_norm=RMSNorm
    )
