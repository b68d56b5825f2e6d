"""The last layer of a language model, which leaves the multiplication to the head."""

from typing import Any

from jaxtyping import Float
from megatron.core.tensor_parallel import (
    ColumnParallelLinear,
    gather_from_sequence_parallel_region,
)
from torch import Tensor


class OutputLayer(ColumnParallelLinear):  # type: ignore[misc]  # megatron publishes no types
    """Holds the weight, and gives what it would be multiplied with, of all positions.

    The head selects the positions that it needs, and multiplies them in pieces: the logits of all
    of them are the largest tensor of a training step.
    """

    def forward(
        self, hidden: Float[Tensor, "position batch hidden"], **_of_megatron: Any
    ) -> tuple[Float[Tensor, "position batch hidden"], None]:
        """The same hidden states, of all tensor-parallel ranks' positions, and no bias."""
        if self.sequence_parallel:
            # Each rank's gradient is that of its rows of the weight; they are summed here.
            hidden = gather_from_sequence_parallel_region(hidden)
        return hidden, None
