"""Normalizes values to mean 0 and variance 1."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

_EPSILON = 1e-8  # added to the variance, as verl and slime do


def whiten(
    values: Sequence[Float[Tensor, " _"]], masks: Sequence[Float[Tensor, " _"]]
) -> list[Float[Tensor, " _"]]:
    """Subtracts the mean of all values that count, and divides by their standard deviation.

    The variance is Bessel-corrected. If all values that count are equal, none of them is better
    than another, and all become exactly 0. Values that do not count become 0.

    Args:
        values: per token of each sample of the whole batch, over all data-parallel ranks.
        masks: above 0 for tokens that count.
    """
    counted = torch.cat([value[mask > 0] for value, mask in zip(values, masks, strict=True)])
    if bool((counted == counted[:1]).all()):
        return [torch.zeros_like(value) for value in values]
    mean = counted.mean()
    scale = (counted.var(correction=1) + _EPSILON).rsqrt()
    return [
        ((value - mean) * scale).where(mask > 0, 0)
        for value, mask in zip(values, masks, strict=True)
    ]
