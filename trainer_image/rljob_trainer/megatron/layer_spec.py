"""Which modules a model's layers are made of."""

from typing import Any

import torch
from megatron.core.extensions.transformer_engine import TENorm
from megatron.core.models.gpt.gpt_layer_specs import (
    get_gpt_layer_local_spec,
    get_gpt_layer_with_transformer_engine_spec,
)
from megatron.core.transformer.transformer_block import (
    TransformerBlockSubmodules,
    get_num_layers_to_build,
)
from megatron.core.transformer.transformer_layer import get_transformer_layer_offset

from rljob_trainer.megatron.engine import has_transformer_engine
from rljob_trainer.megatron.latent_attention import LatentAttention
from rljob_trainer.megatron.local_layer import CausalAttention, RMSNorm
from rljob_trainer.megatron.normed_linear import normed
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.config import ModelConfig


def block_spec(
    transformer: Any,
    architecture: Architecture,
    config: ModelConfig,
    device: torch.device,
    stage: int | None,
) -> Any:
    """The layers of a part of the model, which may differ, and the norm after the last of all.

    Args:
        transformer: megatron-core's options.
        architecture: the family.
        config: the model's sizes.
        device: of this process.
        stage: the number of the part, if this pipeline stage has several.
    """
    engine = has_transformer_engine(device)
    norm = TENorm if engine else RMSNorm
    build = _engine_layer if engine else _local_layer
    kinds = {
        experts: build(transformer, experts) for experts in (False, config.experts is not None)
    }
    if architecture.output_norms:
        _norm_outputs(kinds[False], norm)
    first = get_transformer_layer_offset(transformer, vp_stage=stage)
    mine = range(first, first + get_num_layers_to_build(transformer, vp_stage=stage))
    return TransformerBlockSubmodules(
        layer_specs=[kinds[config.has_experts(number)] for number in mine],
        layer_norm=norm,
    )


def _norm_outputs(layer: Any, norm: Any) -> None:
    attention, mlp = layer.submodules.self_attention.submodules, layer.submodules.mlp.submodules
    attention.linear_proj = normed(attention.linear_proj, norm)
    mlp.linear_fc2 = normed(mlp.linear_fc2, norm)


def _engine_layer(transformer: Any, experts: bool) -> Any:
    return get_gpt_layer_with_transformer_engine_spec(
        num_experts=transformer.num_moe_experts if experts else None,
        moe_grouped_gemm=experts,
        qk_layernorm=transformer.qk_layernorm,
        multi_latent_attention=transformer.multi_latent_attention,
    )


def _local_layer(transformer: Any, experts: bool) -> Any:
    layer = get_gpt_layer_local_spec(
        num_experts=transformer.num_moe_experts if experts else None,
        qk_layernorm=transformer.qk_layernorm,
        multi_latent_attention=transformer.multi_latent_attention,
        normalization="RMSNorm",
    )
    layer.submodules.input_layernorm = RMSNorm
    layer.submodules.pre_mlp_layernorm = RMSNorm
    attention = layer.submodules.self_attention.submodules
    attention.core_attention = CausalAttention
    if transformer.multi_latent_attention:
        layer.submodules.self_attention.module = LatentAttention
        attention.q_layernorm = attention.kv_layernorm = RMSNorm
    elif transformer.qk_layernorm:
        attention.q_layernorm = attention.k_layernorm = RMSNorm
    return layer
