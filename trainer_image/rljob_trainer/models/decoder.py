"""What the tables of dense decoders with a gated MLP have in common."""

from rljob_trainer.models.table import (
    Entry,
    GateUp,
    HFTensor,
    QueryKeyValue,
    Replicated,
    Split,
    Vocabulary,
)

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
    untied=True,
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
QUERY_NORM = Entry(
    _MEGATRON + "self_attention.q_layernorm.weight",
    (HFTensor(_HF + "self_attn.q_norm.weight", ("head",)),),
    Replicated(),
)
KEY_NORM = Entry(
    _MEGATRON + "self_attention.k_layernorm.weight",
    (HFTensor(_HF + "self_attn.k_norm.weight", ("head",)),),
    Replicated(),
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
