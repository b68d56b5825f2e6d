"""What the tables of decoders have in common: grouped queries, a gated MLP or experts."""

from rljob_trainer.models.table import (
    Entry,
    GateUp,
    HFTensor,
    QueryKeyValue,
    Replicated,
    Split,
    Vocabulary,
)

ROUTER_BIAS_NAME = "mlp.router.expert_bias"  # a buffer, not a parameter
_HF = "model.layers.{layer}."
_MEGATRON = "decoder.layers.{layer}."

EMBEDDING = Entry(
    "embedding.word_embeddings.weight",
    (HFTensor("model.embed_tokens.weight", ("vocabulary", "hidden")),),
    Vocabulary(),
)
FINAL_NORM = Entry(
    "decoder.final_layernorm.weight", (HFTensor("model.norm.weight", ("hidden",)),), Replicated()
)
OUTPUT = Entry(
    "output_layer.weight",
    (HFTensor("lm_head.weight", ("vocabulary", "hidden")),),
    Vocabulary(),
    when=lambda config: not config.tied,
)
ATTENTION_NORM = Entry(
    _MEGATRON + "input_layernorm.weight",
    (HFTensor(_HF + "input_layernorm.weight", ("hidden",)),),
    Replicated(),
    fused=_MEGATRON + "self_attention.linear_qkv.layer_norm_weight",
)
QKV = Entry(
    _MEGATRON + "self_attention.linear_qkv.weight",
    (
        HFTensor(_HF + "self_attn.q_proj.weight", ("queries", "hidden")),
        HFTensor(_HF + "self_attn.k_proj.weight", ("keys", "hidden")),
        HFTensor(_HF + "self_attn.v_proj.weight", ("keys", "hidden")),
    ),
    QueryKeyValue(),
)
QKV_BIAS = Entry(
    _MEGATRON + "self_attention.linear_qkv.bias",
    (
        HFTensor(_HF + "self_attn.q_proj.bias", ("queries",)),
        HFTensor(_HF + "self_attn.k_proj.bias", ("keys",)),
        HFTensor(_HF + "self_attn.v_proj.bias", ("keys",)),
    ),
    QueryKeyValue(),
    when=lambda config: config.qkv_bias,
)
QUERY_NORM = Entry(
    _MEGATRON + "self_attention.q_layernorm.weight",
    (HFTensor(_HF + "self_attn.q_norm.weight", ("head",)),),
    Replicated(),
    when=lambda config: config.qk_norm,
)
KEY_NORM = Entry(
    _MEGATRON + "self_attention.k_layernorm.weight",
    (HFTensor(_HF + "self_attn.k_norm.weight", ("head",)),),
    Replicated(),
    when=lambda config: config.qk_norm,
)
ATTENTION_OUTPUT = Entry(
    _MEGATRON + "self_attention.linear_proj.weight",
    (HFTensor(_HF + "self_attn.o_proj.weight", ("hidden", "queries")),),
    Split(1),
)
MLP_NORM = Entry(
    _MEGATRON + "pre_mlp_layernorm.weight",
    (HFTensor(_HF + "post_attention_layernorm.weight", ("hidden",)),),
    Replicated(),
    fused=_MEGATRON + "mlp.linear_fc1.layer_norm_weight",
)
GATE_UP = Entry(
    _MEGATRON + "mlp.linear_fc1.weight",
    (
        HFTensor(_HF + "mlp.gate_proj.weight", ("ffn", "hidden")),
        HFTensor(_HF + "mlp.up_proj.weight", ("ffn", "hidden")),
    ),
    GateUp(),
)
DOWN = Entry(
    _MEGATRON + "mlp.linear_fc2.weight",
    (HFTensor(_HF + "mlp.down_proj.weight", ("hidden", "ffn")),),
    Split(1),
)
ROUTER = Entry(
    _MEGATRON + "mlp.router.weight",
    (HFTensor(_HF + "mlp.gate.weight", ("experts", "hidden")),),
    Replicated(),
)
EXPERT_GATE_UP = Entry(
    _MEGATRON + "mlp.experts.local_experts.{expert}.linear_fc1.weight",
    (
        HFTensor(_HF + "mlp.experts.{expert}.gate_proj.weight", ("expert_ffn", "hidden")),
        HFTensor(_HF + "mlp.experts.{expert}.up_proj.weight", ("expert_ffn", "hidden")),
    ),
    GateUp(),
    fused=_MEGATRON + "mlp.experts.linear_fc1.weight{expert}",
)
EXPERT_DOWN = Entry(
    _MEGATRON + "mlp.experts.local_experts.{expert}.linear_fc2.weight",
    (HFTensor(_HF + "mlp.experts.{expert}.down_proj.weight", ("hidden", "expert_ffn")),),
    Split(1),
    fused=_MEGATRON + "mlp.experts.linear_fc2.weight{expert}",
)
ROUTER_BIAS = Entry(
    _MEGATRON + ROUTER_BIAS_NAME,
    (HFTensor(_HF + "mlp.gate.e_score_correction_bias", ("experts",)),),
    Replicated(),
)
SHARED_GATE_UP = Entry(
    _MEGATRON + "mlp.shared_experts.linear_fc1.weight",
    (
        HFTensor(_HF + "mlp.shared_experts.gate_proj.weight", ("shared_ffn", "hidden")),
        HFTensor(_HF + "mlp.shared_experts.up_proj.weight", ("shared_ffn", "hidden")),
    ),
    GateUp(),
    when=lambda config: bool(config.experts and config.experts.shared_ffn),
)
SHARED_DOWN = Entry(
    _MEGATRON + "mlp.shared_experts.linear_fc2.weight",
    (HFTensor(_HF + "mlp.shared_experts.down_proj.weight", ("hidden", "shared_ffn")),),
    Split(1),
    when=lambda config: bool(config.experts and config.experts.shared_ffn),
)

ATTENTION = (ATTENTION_NORM, QKV, QKV_BIAS, QUERY_NORM, KEY_NORM, ATTENTION_OUTPUT, MLP_NORM)
MLP = (GATE_UP, DOWN)
EXPERTS = (ROUTER, EXPERT_GATE_UP, EXPERT_DOWN)
BIASED_EXPERTS = (*EXPERTS, ROUTER_BIAS, SHARED_GATE_UP, SHARED_DOWN)
