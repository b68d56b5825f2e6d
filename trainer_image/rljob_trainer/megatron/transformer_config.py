"""megatron-core's options of a model, from its Hugging Face config and the manifest."""

from typing import Any

import torch
from megatron.core.transformer import MLATransformerConfig, TransformerConfig

from rljob.api.passthrough.owned import ARCHITECTURE, FIELDS
from rljob.api.trainer import TrainerSpec
from rljob.errors import UsageError
from rljob_trainer.megatron.engine import has_transformer_engine
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.config import ModelConfig
from rljob_trainer.models.rotary import YarnScaling

# Fields of TransformerConfig that other fields of the manifest set.
_ELSEWHERE = {
    name: field for name, field in FIELDS["megatron"].items() if field not in ("", ARCHITECTURE)
}


def transformer_config(
    architecture: Architecture,
    config: ModelConfig,
    spec: TrainerSpec,
    parallel: Parallel,
    dtype: torch.dtype,
) -> Any:
    """Builds a TransformerConfig.

    Raises:
        UsageError: megatron-core refuses a field of spec.trainer.megatron.
    """
    fields: dict[str, Any] = {
        "num_layers": config.layers,
        "hidden_size": config.hidden,
        "ffn_hidden_size": config.ffn,
        "num_attention_heads": config.heads,
        "num_query_groups": config.groups,
        "kv_channels": config.head_dim,
        "normalization": "RMSNorm",
        "layernorm_epsilon": config.norm_epsilon,
        "qk_layernorm": config.qk_norm,
        "add_qkv_bias": config.qkv_bias,
        "rotary_interleaved": architecture.rotary_interleaved,
        "gated_linear_unit": True,
        "activation_func": torch.nn.functional.silu,
        "add_bias_linear": False,
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
        "tensor_model_parallel_size": parallel.tp_size,
        **_pipeline(parallel, dtype),
        "sequence_parallel": spec.parallelism.sequence and parallel.tp_size > 1,
        "params_dtype": dtype,
        "bf16": dtype == torch.bfloat16,
        "use_cpu_initialization": parallel.device.type == "cpu",
        # The other kinds want as many tokens on every rank. It must be set for dense models, too.
        "moe_token_dispatcher_type": "alltoall",
        "calculate_per_token_loss": True,  # gradients are summed: the loss is already normalized
        **_recompute(spec.recompute),
        **_experts(config, parallel),
        **_latent(config),
    }
    for name in spec.megatron.keys() & _ELSEWHERE.keys():
        raise UsageError(f"spec.trainer.megatron.{name}: set it with {_ELSEWHERE[name]}")
    try:
        kind = MLATransformerConfig if config.latent else TransformerConfig
        return kind(**fields | spec.megatron)
    except (AssertionError, TypeError, ValueError) as error:
        raise UsageError(f"spec.trainer.megatron: megatron-core refuses it: {error}") from error


def _pipeline(parallel: Parallel, dtype: torch.dtype) -> dict[str, Any]:
    if parallel.pp_size == 1:
        return {}
    interleaved = parallel.chunks > 1
    return {
        "pipeline_model_parallel_size": parallel.pp_size,
        "virtual_pipeline_model_parallel_size": parallel.chunks if interleaved else None,
        "pipeline_dtype": dtype,
        # Interleaved stages send in both directions at once, which megatron-core can neither batch
        # nor precede by shapes if there are two of them: there all micro-batches have one shape.
        "variable_seq_lengths": not interleaved,
        "batch_p2p_comm": not interleaved,
        "overlap_p2p_comm": interleaved,
    }


def _experts(config: ModelConfig, parallel: Parallel) -> dict[str, Any]:
    """No token is dropped, and no loss balances the experts' load."""
    experts = config.experts
    if experts is None:
        return {}
    limited = experts.chosen_groups < experts.groups
    return {
        "expert_model_parallel_size": parallel.ep_size,
        "expert_tensor_parallel_size": parallel.etp_size,
        "num_moe_experts": experts.count,
        "moe_ffn_hidden_size": experts.ffn,
        "moe_layer_freq": [int(has) for has in experts.layers],
        "moe_router_topk": experts.chosen,
        "moe_router_score_function": experts.score,
        "moe_router_pre_softmax": experts.score == "softmax" and not experts.normalized,
        "moe_router_load_balancing_type": "none",
        "moe_router_topk_scaling_factor": experts.scale if experts.scale != 1 else None,
        # transformers computes sigmoid scores in float32, softmax scores from logits of the dtype.
        "moe_router_dtype": "fp32" if experts.score == "sigmoid" else None,
        "moe_router_enable_expert_bias": experts.bias,
        "moe_router_bias_update_rate": 0.0,  # the bias stays as it was loaded
        "moe_router_num_groups": experts.groups if limited else None,
        "moe_router_group_topk": experts.chosen_groups if limited else None,
        "moe_shared_expert_intermediate_size": experts.shared_ffn or None,
        "moe_grouped_gemm": has_transformer_engine(parallel.device),
    }


def _latent(config: ModelConfig) -> dict[str, Any]:
    latent, scaling = config.latent, config.rope_scaling
    if latent is None:
        return {}
    fields: dict[str, Any] = {
        "q_lora_rank": latent.query_rank,
        "kv_lora_rank": latent.key_value_rank,
        "qk_head_dim": latent.unrotated,
        "qk_pos_emb_head_dim": latent.rotated,
        "v_head_dim": latent.value,
        "qk_layernorm": True,
        "rotary_base": config.rope_base,
        "rope_type": "rope",
        "rotary_scaling_factor": 1.0,
    }
    if isinstance(scaling, YarnScaling):
        fields |= {
            "rope_type": "yarn",
            "rotary_scaling_factor": scaling.factor,
            "original_max_position_embeddings": scaling.original_positions,
            "beta_fast": scaling.beta_fast,
            "beta_slow": scaling.beta_slow,
            "mscale": scaling.mscale,
            "mscale_all_dim": scaling.mscale_all_dim,
        }
    return fields


def _recompute(kind: str) -> dict[str, Any]:
    if kind == "full":
        return {
            "recompute_granularity": "full",
            "recompute_method": "uniform",
            "recompute_num_layers": 1,
        }
    return {"recompute_granularity": "selective"} if kind == "selective" else {}
