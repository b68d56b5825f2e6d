"""Rotary frequencies of models with RoPE scaling."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rljob_trainer.models.rotary import Llama3Scaling


def llama3_frequencies(
    frequencies: Float[Tensor, " half"], scaling: Llama3Scaling
) -> Float[Tensor, " half"]:
    """Divides long wavelengths by the factor, keeps short ones, and blends those between.

    Llama 3.1's rule (Meta, llama-models, `apply_scaling`; the bounds of the blend are config.json's
    low_freq_factor and high_freq_factor). megatron-core's own has these bounds built in.
    """
    turns = scaling.original_positions * frequencies / (2 * math.pi)
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    kept = ((turns - low) / (high - low)).clamp(0.0, 1.0)
    return torch.lerp(frequencies / scaling.factor, frequencies, kept)
