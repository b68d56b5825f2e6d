"""The loss of a critic."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def clipped_value_loss(
    values: Float[Tensor, "*tokens"],
    old_values: Float[Tensor, "*tokens"],
    returns: Float[Tensor, "*tokens"],
    *,
    clip: float | None,
) -> tuple[Float[Tensor, "*tokens"], Bool[Tensor, "*tokens"]]:
    """Half the squared error of each value, at most `clip` from the old value being rewarded.

    As in OpenAI's baselines (ppo2, model.py) and verl (compute_value_loss of
    verl/trainer/ppo/core_algos.py): the larger one of the errors of the value and of the value
    clipped to old +- clip.

    Args:
        values: now, with a gradient.
        old_values: before the steps of this batch.
        returns: what they should be.
        clip: None: off.

    Returns:
        The loss, and whether the clipped value took the place of the value: such a token has no
        gradient.
    """
    own = (values - returns).square()
    if clip is None:
        return own / 2, torch.zeros_like(own, dtype=torch.bool)
    bound = (values.clamp(old_values - clip, old_values + clip) - returns).square()
    return torch.maximum(own, bound) / 2, bound > own
