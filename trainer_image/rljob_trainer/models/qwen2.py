"""Qwen2 and Qwen2.5, dense."""

from rljob_trainer.models import decoder
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.config import ModelConfig, decoder_config
from rljob_trainer.models.config_reader import ConfigReader
from rljob_trainer.models.table import Table

_NAME = "Qwen2ForCausalLM"


def _config(reader: ConfigReader) -> ModelConfig:
    return decoder_config(reader, _NAME, ("qwen2",), qkv_bias=True)


QWEN2 = Architecture(
    name=_NAME,
    config=_config,
    table=Table(
        before=(decoder.EMBEDDING,),
        layer=decoder.ATTENTION,
        mlp=decoder.MLP,
        after=(decoder.FINAL_NORM, decoder.OUTPUT),
    ),
)
