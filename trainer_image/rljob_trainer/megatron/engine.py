"""Transformer Engine, which layers are made of where it can run."""

import torch
from megatron.core.extensions.transformer_engine import HAVE_TE
from megatron.core.transformer import multi_latent_attention
from megatron.core.transformer.moe import moe_utils

if not HAVE_TE:
    # megatron-core 0.16 looks for these names there, and fails, if it is not installed.
    multi_latent_attention.HAVE_TE = False
    moe_utils.te_general_gemm = None


def has_transformer_engine(device: torch.device) -> bool:
    """Whether layers are Transformer Engine's; else they are megatron-core's with our parts."""
    return device.type == "cuda" and bool(HAVE_TE)
