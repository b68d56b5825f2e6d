"""Parts of a layer for use without Transformer Engine: on a CPU, or if it is not installed."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class RMSNorm(nn.Module):
    """Root-mean-square norm that tags its weight if sequence parallelism splits its input.

    megatron-core's own wrapper of torch's norm omits the tag, and the gradients of the parts would
    not be summed.
    """

    def __init__(self, config: Any, hidden_size: int, eps: float = 1e-5, **_unused: Any) -> None:
        super().__init__()
        self.eps = eps
        device = torch.cuda.current_device()
        weight = torch.ones(hidden_size, dtype=config.params_dtype, device=device)
        self.weight = nn.Parameter(weight)
        self.weight.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]

    def forward(self, x: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch hidden"]:
        return functional.rms_norm(x, self.weight.shape, self.weight, self.eps)


class CausalAttention(nn.Module):
    """torch's fused attention, which does not store the scores of all pairs of tokens."""

    def __init__(
        self,
        config: Any,
        *,
        attention_dropout: float | None = None,
        softmax_scale: float | None = None,
        **_unused: Any,
    ) -> None:
        super().__init__()
        dropout = config.attention_dropout if attention_dropout is None else attention_dropout
        self.dropout = float(dropout)
        self.scale = softmax_scale or 1 / math.sqrt(config.kv_channels)

    def forward(
        self,
        query: Float[Tensor, "sequence batch heads head"],
        key: Float[Tensor, "sequence batch groups head"],
        value: Float[Tensor, "sequence batch groups value"],
        attention_mask: None,
        **_unused: Any,
    ) -> Float[Tensor, "sequence batch hidden"]:
        q, k, v = (x.permute(1, 2, 0, 3) for x in (query, key, value))
        context = functional.scaled_dot_product_attention(
            q,
            k,
            v,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=True,
            scale=self.scale,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        return context.permute(2, 0, 1, 3).flatten(2)
