"""Llama 2, 3, 3.1, 3.2 (text) and what shares their architecture."""

from rljob_trainer.models import decoder
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.table import Table

LLAMA = Architecture(
    name="LlamaForCausalLM",
    table=Table(
        before=(decoder.EMBEDDING,),
        layer=(
            decoder.ATTENTION_NORM,
            decoder.QKV,
            decoder.ATTENTION_OUTPUT,
            decoder.MLP_NORM,
            decoder.GATE_UP,
            decoder.DOWN,
        ),
        after=(decoder.FINAL_NORM, decoder.OUTPUT),
    ),
    qk_norm=False,
    head_dim=None,
)
