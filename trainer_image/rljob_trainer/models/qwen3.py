"""Qwen3, dense."""

from rljob_trainer.models import decoder
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.config import ModelConfig, decoder_config
from rljob_trainer.models.config_reader import ConfigReader
from rljob_trainer.models.table import Table

_NAME = "Qwen3ForCausalLM"


def _config(reader: ConfigReader) -> ModelConfig:
    reader.only("attention_bias", False, False)
    return decoder_config(reader, _NAME, ("qwen3",), head_dim=128, qk_norm=True)


QWEN3 = Architecture(
    name=_NAME,
    config=_config,
    table=Table(
        before=(decoder.EMBEDDING,),
        layer=decoder.ATTENTION,
        mlp=decoder.MLP,
        after=(decoder.FINAL_NORM, decoder.OUTPUT),
    ),
)
