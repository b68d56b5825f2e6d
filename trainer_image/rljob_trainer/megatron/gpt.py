"""Builds the megatron-core model of a Hugging Face config."""

from typing import Any

import torch
from megatron.core.models.gpt import GPTModel
from megatron.core.transformer.module import Float16Module

from rljob.api.trainer import TrainerSpec
from rljob_trainer.megatron.layer_spec import block_spec
from rljob_trainer.megatron.output_layer import OutputLayer
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.megatron.rope import llama3_frequencies
from rljob_trainer.megatron.split import check_split
from rljob_trainer.megatron.transformer_config import transformer_config
from rljob_trainer.megatron.value_head import ValueHead
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.config import ModelConfig
from rljob_trainer.models.decoder import ROUTER_BIAS_NAME
from rljob_trainer.models.rotary import Llama3Scaling
from rljob_trainer.models.table import padded_vocabulary


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype that spec.model.dtype means on this device."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]


def build_chunks(
    architecture: Architecture,
    config: ModelConfig,
    spec: TrainerSpec,
    parallel: Parallel,
    dtype: torch.dtype,
    *,
    values: bool = False,
) -> list[Any]:
    """Builds this rank's parts of a GPTModel with random weights, on the process's device.

    There is one part, or several if pipeline stages are interleaved. With `values` the model has a
    `ValueHead` in place of the output layer. megatron-core marks parameters as split over ranks
    only where it initializes them, and the gradient norm relies on the marks. So they are
    initialized although a checkpoint follows.

    Raises:
        UsageError: the sizes can't be split over the ranks, or megatron-core refuses a field of
            spec.trainer.megatron.
    """
    check_split(config, spec, parallel)
    transformer = transformer_config(architecture, config, spec, parallel, dtype)
    return [
        _chunk(architecture, config, transformer, parallel, number, values=values)
        for number in range(parallel.chunks)
    ]


def _chunk(
    architecture: Architecture,
    config: ModelConfig,
    transformer: Any,
    parallel: Parallel,
    number: int,
    *,
    values: bool,
) -> Any:
    is_first = parallel.pp_rank == 0 and number == 0
    is_last = parallel.is_last_stage and number == parallel.chunks - 1
    stage = number if parallel.chunks > 1 else None
    model = GPTModel(
        config=transformer,
        transformer_layer_spec=block_spec(
            transformer, architecture, config, parallel.device, stage
        ),
        vocab_size=padded_vocabulary(config.vocabulary, parallel.tp_size),
        max_sequence_length=config.positions,
        pre_process=is_first,
        post_process=is_last,
        parallel_output=True,
        share_embeddings_and_output_weights=config.tied and not values,
        position_embedding_type="rope",
        rotary_base=config.rope_base,
        rotary_percent=config.rotary_percent,
        vp_stage=stage,
    )
    if is_last and values:
        model.output_layer = ValueHead(transformer).to(parallel.device)
    elif is_last:
        # A new layer would need a second weight, and megatron-core's ties between stages again.
        model.output_layer.__class__ = OutputLayer
    if isinstance(config.rope_scaling, Llama3Scaling):
        rope = model.rotary_pos_emb
        rope.inv_freq = llama3_frequencies(rope.inv_freq, config.rope_scaling)
    if transformer.params_dtype != torch.bfloat16:
        return model
    half = Float16Module(transformer, model)
    for name, buffer in half.named_buffers():
        if name.endswith(ROUTER_BIAS_NAME):  # megatron-core computes with it in float32
            buffer.data = buffer.data.float()
    return half
