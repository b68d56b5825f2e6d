"""GLM-4-0414 and GLM-Z1, dense."""

from dataclasses import replace

from rljob_trainer.models import decoder
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.config import ModelConfig, decoder_config
from rljob_trainer.models.config_reader import ConfigReader
from rljob_trainer.models.table import Entry, FusedGateUp, HFTensor, Replicated, Table

_NAME = "Glm4ForCausalLM"
_HF = "model.layers.{layer}."
_MEGATRON = "decoder.layers.{layer}."

_ATTENTION_OUTPUT_NORM = Entry(
    _MEGATRON + "self_attention.linear_proj.norm.weight",
    (HFTensor(_HF + "post_self_attn_layernorm.weight", ("hidden",)),),
    Replicated(),
)
_GATE_UP = Entry(
    decoder.GATE_UP.parameter,
    (HFTensor(_HF + "mlp.gate_up_proj.weight", ("twice_ffn", "hidden")),),
    FusedGateUp(),
)
_MLP_OUTPUT_NORM = Entry(
    _MEGATRON + "mlp.linear_fc2.norm.weight",
    (HFTensor(_HF + "post_mlp_layernorm.weight", ("hidden",)),),
    Replicated(),
)


def _normed(entry: Entry) -> Entry:
    """The entry of a linear layer that is inside of a `NormedLinear`."""
    module = entry.parameter.removesuffix("weight")
    return replace(entry, parameter=module + "linear.weight")


def _config(reader: ConfigReader) -> ModelConfig:
    return decoder_config(
        reader,
        _NAME,
        ("glm4",),
        head_dim=128,
        norm_epsilon=1.5625e-7,
        rotary_percent=0.5,
        rope_kinds=("default",),
        qkv_bias=reader.flag("attention_bias", True),
    )


GLM4 = Architecture(
    name=_NAME,
    config=_config,
    table=Table(
        before=(decoder.EMBEDDING,),
        layer=(
            decoder.ATTENTION_NORM,
            decoder.QKV,
            decoder.QKV_BIAS,
            _normed(decoder.ATTENTION_OUTPUT),
            _ATTENTION_OUTPUT_NORM,
            decoder.MLP_NORM,
        ),
        mlp=(_GATE_UP, _normed(decoder.DOWN), _MLP_OUTPUT_NORM),
        after=(decoder.FINAL_NORM, decoder.OUTPUT),
    ),
    rotary_interleaved=True,
    output_norms=True,
)
