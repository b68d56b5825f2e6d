"""A linear layer whose output is normalized before it is added to the residual stream."""

from typing import Any

from jaxtyping import Float
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.spec_utils import ModuleSpec, build_module
from torch import Tensor


class NormedLinear(MegatronModule):  # type: ignore[misc]  # megatron-core has no types
    """A row-parallel linear layer without bias, and a norm of its output, as in GLM-4."""

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        config: Any,
        linear: Any,
        norm: Any,
        **options: Any,
    ) -> None:
        """Builds both.

        Args:
            input_size: of the linear layer, over all ranks.
            output_size: of both.
            config: megatron-core's.
            linear: the linear layer's class.
            norm: the norm's class.
            options: of the linear layer.
        """
        super().__init__(config)
        self.linear = build_module(linear, input_size, output_size, config=config, **options)
        self.norm = build_module(
            norm, config=config, hidden_size=output_size, eps=config.layernorm_epsilon
        )

    def forward(
        self, x: Float[Tensor, "*batch features"]
    ) -> tuple[Float[Tensor, "*batch hidden"], None]:
        """The normalized output, and no bias."""
        output, _ = self.linear(x)
        return self.norm(output), None


def normed(linear: Any, norm: Any) -> ModuleSpec:
    """The spec of a linear layer of a class, followed by a norm."""
    return ModuleSpec(module=NormedLinear, params={"linear": linear, "norm": norm})
