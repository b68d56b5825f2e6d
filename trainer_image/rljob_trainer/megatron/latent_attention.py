"""Multi-head latent attention for use without Transformer Engine."""

from typing import Any

import torch
from jaxtyping import Float
from megatron.core.transformer.multi_latent_attention import MLASelfAttention
from torch import Tensor, nn
from torch.nn import functional


class LatentAttention(MLASelfAttention):  # type: ignore[misc]  # megatron-core has no types
    """megatron-core's, with the down-projections whole on every rank.

    Transformer Engine has them so, too: both hold the same tensors.
    """

    def __init__(self, config: Any, *args: Any, **options: Any) -> None:
        super().__init__(config, *args, **options)
        if config.q_lora_rank is not None:
            self.linear_q_down_proj = _Duplicated(config, config.q_lora_rank)
        self.linear_kv_down_proj = _Duplicated(
            config, config.kv_lora_rank + config.qk_pos_emb_head_dim
        )


class _Duplicated(nn.Module):
    """A linear layer whose weight is the same on every rank.

    If sequence parallelism splits its input, the weight is tagged: its gradients are summed.
    """

    def __init__(self, config: Any, output_size: int) -> None:
        super().__init__()
        device = torch.cuda.current_device()
        weight = torch.empty(
            output_size, config.hidden_size, dtype=config.params_dtype, device=device
        )
        config.init_method(weight)
        self.weight = nn.Parameter(weight)
        self.weight.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]

    def forward(
        self, x: Float[Tensor, "*batch hidden"]
    ) -> tuple[Float[Tensor, "*batch rank"], None]:
        return functional.linear(x, self.weight), None
