"""Qwen3, dense."""

from rljob_trainer.models import decoder
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.table import Table

QWEN3 = Architecture(
    name="Qwen3ForCausalLM",
    table=Table(
        before=(decoder.EMBEDDING,),
        layer=(
            decoder.ATTENTION_NORM,
            decoder.QKV,
            decoder.QUERY_NORM,
            decoder.KEY_NORM,
            decoder.ATTENTION_OUTPUT,
            decoder.MLP_NORM,
            decoder.GATE_UP,
            decoder.DOWN,
        ),
        after=(decoder.FINAL_NORM, decoder.OUTPUT),
    ),
    qk_norm=True,
    head_dim=128,
)
