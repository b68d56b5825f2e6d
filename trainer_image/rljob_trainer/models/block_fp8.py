"""Weights in 8 bits with a scale for each block of 128 x 128, as DeepSeek V3 is published."""

from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from rljob_trainer.models.config_reader import ConfigReader

BLOCK = 128
SCALE = "_scale_inv"  # follows the weight's name in that of its scales


def check_quantization(reader: ConfigReader, *, allowed: bool) -> None:
    """Refuses every kind of quantization but this one, or this one, too.

    Raises:
        UsageError: names the field of config.json.
    """
    found: Any = reader.get("quantization_config")
    if found is None:
        return
    if not allowed:
        raise reader.error("quantization_config", "a quantized checkpoint", "none")
    section = reader.section("quantization_config")
    section.only("quant_method", "fp8", None)
    section.only("weight_block_size", [BLOCK, BLOCK], None)


def scales_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the scales of a weight."""
    return tuple(-(-size // BLOCK) for size in shape)


def dequantized(
    weight: Float[Tensor, "rows columns"], scales: Float[Tensor, "row_blocks column_blocks"]
) -> Float32[Tensor, "rows columns"]:
    """The weight in 32 bits: each number times its block's scale."""
    rows, columns = weight.shape
    each = scales.float().repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
    return weight.to(torch.float32) * each[:rows, :columns]
