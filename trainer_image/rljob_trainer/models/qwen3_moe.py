"""Qwen3 with experts."""

from dataclasses import replace

from rljob_trainer.models import decoder
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.config import ModelConfig, decoder_config
from rljob_trainer.models.config_reader import ConfigReader
from rljob_trainer.models.experts import Experts, chosen_count
from rljob_trainer.models.table import Table

_NAME = "Qwen3MoeForCausalLM"


def _config(reader: ConfigReader) -> ModelConfig:
    reader.only("attention_bias", False, False)
    config = decoder_config(reader, _NAME, ("qwen3_moe",), qk_norm=True)
    count = reader.positive_int("num_experts", reader.get("num_local_experts"))
    experts = Experts(
        layers=_layers(reader, config.layers),
        count=count,
        chosen=chosen_count(reader, count),
        ffn=reader.positive_int("moe_intermediate_size"),
        score="softmax",
        normalized=reader.flag("norm_topk_prob", False),
    )
    return replace(config, experts=experts)


def _layers(reader: ConfigReader, count: int) -> tuple[bool, ...]:
    dense = reader.get("mlp_only_layers", [])
    if not isinstance(dense, list) or not all(isinstance(number, int) for number in dense):
        raise reader.error("mlp_only_layers", dense, "a list of layer numbers")
    step = reader.positive_int("decoder_sparse_step", 1)
    return tuple(number not in dense and (number + 1) % step == 0 for number in range(count))


QWEN3_MOE = Architecture(
    name=_NAME,
    config=_config,
    table=Table(
        before=(decoder.EMBEDDING,),
        layer=decoder.ATTENTION,
        mlp=decoder.MLP,
        experts=decoder.EXPERTS,
        after=(decoder.FINAL_NORM, decoder.OUTPUT),
    ),
)
