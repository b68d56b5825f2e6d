"""DeepSeek V3, R1 and V3.1, and what shares their architecture: Moonlight, Kimi K2."""

from dataclasses import replace

from rljob_trainer.models import decoder
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.config import ModelConfig, decoder_config
from rljob_trainer.models.config_reader import ConfigReader
from rljob_trainer.models.experts import sigmoid_experts
from rljob_trainer.models.latent import latent_attention
from rljob_trainer.models.table import Entry, HFTensor, Replicated, Split, Table

_NAME = "DeepseekV3ForCausalLM"
_HF = "model.layers.{layer}.self_attn."
_MEGATRON = "decoder.layers.{layer}.self_attention."


def _whole_query(config: ModelConfig) -> bool:
    return config.latent is not None and config.latent.query_rank is None


def _low_rank_query(config: ModelConfig) -> bool:
    return not _whole_query(config)


_ATTENTION = (
    decoder.ATTENTION_NORM,
    Entry(
        _MEGATRON + "linear_q_proj.weight",
        (HFTensor(_HF + "q_proj.weight", ("latent_queries", "hidden")),),
        Split(0),
        when=_whole_query,
    ),
    Entry(
        _MEGATRON + "linear_q_down_proj.weight",
        (HFTensor(_HF + "q_a_proj.weight", ("query_rank", "hidden")),),
        Replicated(),
        when=_low_rank_query,
    ),
    Entry(
        _MEGATRON + "q_layernorm.weight",
        (HFTensor(_HF + "q_a_layernorm.weight", ("query_rank",)),),
        Replicated(),
        fused=_MEGATRON + "linear_q_up_proj.layer_norm_weight",
        when=_low_rank_query,
    ),
    Entry(
        _MEGATRON + "linear_q_up_proj.weight",
        (HFTensor(_HF + "q_b_proj.weight", ("latent_queries", "query_rank")),),
        Split(0),
        when=_low_rank_query,
    ),
    Entry(
        _MEGATRON + "linear_kv_down_proj.weight",
        (HFTensor(_HF + "kv_a_proj_with_mqa.weight", ("key_value_down", "hidden")),),
        Replicated(),
    ),
    Entry(
        _MEGATRON + "kv_layernorm.weight",
        (HFTensor(_HF + "kv_a_layernorm.weight", ("key_value_rank",)),),
        Replicated(),
        fused=_MEGATRON + "linear_kv_up_proj.layer_norm_weight",
    ),
    Entry(
        _MEGATRON + "linear_kv_up_proj.weight",
        (HFTensor(_HF + "kv_b_proj.weight", ("latent_keys_values", "key_value_rank")),),
        Split(0),
    ),
    Entry(
        _MEGATRON + "linear_proj.weight",
        (HFTensor(_HF + "o_proj.weight", ("hidden", "latent_values")),),
        Split(1),
    ),
    decoder.MLP_NORM,
)


def _config(reader: ConfigReader) -> ModelConfig:
    reader.only("attention_bias", False, False)
    config = decoder_config(
        reader,
        _NAME,
        ("deepseek_v3", "kimi_k2"),
        rope_kinds=("default", "yarn"),
        block_fp8=True,
    )
    latent = latent_attention(reader)
    return replace(
        config,
        head_dim=latent.unrotated + latent.rotated,
        latent=latent,
        experts=sigmoid_experts(reader, config.layers, dense=3),
    )


DEEPSEEK_V3 = Architecture(
    name=_NAME,
    config=_config,
    table=Table(
        before=(decoder.EMBEDDING,),
        layer=_ATTENTION,
        mlp=decoder.MLP,
        experts=decoder.BIASED_EXPERTS,
        after=(decoder.FINAL_NORM, decoder.OUTPUT),
    ),
)
