"""Llama 2, 3, 3.1, 3.2 (text) and what shares their architecture."""

from rljob_trainer.models import decoder
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.config import ModelConfig, decoder_config
from rljob_trainer.models.config_reader import ConfigReader
from rljob_trainer.models.table import Table

_NAME = "LlamaForCausalLM"


def _config(reader: ConfigReader) -> ModelConfig:
    reader.only("attention_bias", False, False)
    return decoder_config(reader, _NAME, ("llama",))


LLAMA = Architecture(
    name=_NAME,
    config=_config,
    table=Table(
        before=(decoder.EMBEDDING,),
        layer=decoder.ATTENTION,
        mlp=decoder.MLP,
        after=(decoder.FINAL_NORM, decoder.OUTPUT),
    ),
)
