"""GLM-4.5 and GLM-4.6, including Air."""

from dataclasses import replace

from rljob_trainer.models import decoder
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.config import ModelConfig, decoder_config
from rljob_trainer.models.config_reader import ConfigReader
from rljob_trainer.models.experts import sigmoid_experts
from rljob_trainer.models.table import Table

_NAME = "Glm4MoeForCausalLM"


def _config(reader: ConfigReader) -> ModelConfig:
    config = decoder_config(
        reader,
        _NAME,
        ("glm4_moe",),
        norm_epsilon=1e-5,
        rotary_percent=0.5,
        rope_kinds=("default",),
        qkv_bias=reader.flag("attention_bias", False),
        qk_norm=reader.flag("use_qk_norm", False),
    )
    experts = sigmoid_experts(reader, config.layers, dense=1)
    return replace(config, experts=experts)


GLM4_MOE = Architecture(
    name=_NAME,
    config=_config,
    table=Table(
        before=(decoder.EMBEDDING,),
        layer=decoder.ATTENTION,
        mlp=decoder.MLP,
        experts=decoder.BIASED_EXPERTS,
        after=(decoder.FINAL_NORM, decoder.OUTPUT),
    ),
)
