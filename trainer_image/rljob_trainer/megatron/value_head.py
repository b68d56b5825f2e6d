"""The last layer of a critic: one value per position."""

from typing import Any

import torch
from jaxtyping import Float
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region
from torch import Tensor, nn


class ValueHead(nn.Module):
    """Stands where a language model has its output layer, and has the same signature.

    Its weights start at 0, so that the first values are 0 whatever the model was trained for. Every
    tensor-parallel rank holds all of them and computes the same.
    """

    def __init__(self, config: Any) -> None:
        """`config` is the model's TransformerConfig."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, config.hidden_size, dtype=config.params_dtype))
        self.bias = nn.Parameter(torch.zeros(1, dtype=config.params_dtype))
        self.sequence_parallel = config.sequence_parallel

    def forward(
        self, hidden: Float[Tensor, "position batch hidden"], **_of_output_layer: Any
    ) -> tuple[Float[Tensor, "position batch 1"], None]:
        """The value at each position, and no bias that is left to add."""
        if self.sequence_parallel:
            # Each rank goes on with the same values, so a rank's gradient is whole already.
            hidden = gather_from_sequence_parallel_region(hidden, tensor_parallel_output_grad=False)
        return nn.functional.linear(hidden, self.weight, self.bias), None
