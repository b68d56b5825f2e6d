"""Advantages by a function of the user's."""

from collections.abc import Callable, Sequence
from typing import get_args

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from rljob.api.algorithm import AdvantageName, AlgorithmSpec
from rljob.api.estimator import advantage_of, loss_of
from rljob.errors import UsageError
from rljob_trainer.algorithms.hook import load_hook

CustomAdvantage = Callable[
    [
        Float32[Tensor, " samples"],
        Int64[Tensor, " samples"],
        Sequence[Float32[Tensor, " _"]],
    ],
    list[Float32[Tensor, " _"]],
]
"""Takes rewards, groups and loss masks of all samples of a batch; returns a value per token."""


def load_custom_advantage(spec: AlgorithmSpec) -> CustomAdvantage | None:
    """Loads the function that a job names; None: its advantage is a built-in one.

    The function is called as `f(rewards, groups, masks)`: one reward and one group number for each
    sample of the whole rollout batch, and for each a tensor that is above 0 for the tokens that are
    learned. It returns a tensor with one advantage per sample, or a list with one tensor per
    sample, of one advantage per token.

    Raises:
        UsageError: the module or the function can't be loaded; later, from the function itself: it
            raised, or returned something else.
    """
    name = advantage_of(spec)
    if ":" not in name:
        return None
    field = "spec.algorithm." + ("advantage" if spec.advantage else "estimator")
    builtin = ", ".join(get_args(AdvantageName))
    function = load_hook(field, name, builtin)

    def advantages(
        rewards: Float32[Tensor, " samples"],
        groups: Int64[Tensor, " samples"],
        masks: Sequence[Float32[Tensor, " _"]],
    ) -> list[Float32[Tensor, " _"]]:
        try:
            answer = function(rewards.clone(), groups.clone(), [mask.clone() for mask in masks])
        except Exception as error:  # whatever user code raises
            raise UsageError(
                f"{field}: {name} raised {type(error).__name__}: {error} on a batch of "
                f"{len(masks)} samples"
            ) from error
        values = _by_token(answer, masks, by_response=loss_of(spec) == "gspo")
        if values is None:
            allowed = f"a tensor of {len(masks)} numbers, one per sample"
            if loss_of(spec) != "gspo":
                allowed += ", or a list of as many tensors with one number per token"
            raise UsageError(f"{field}: {name} returned {_shown(answer)}; allowed: {allowed}")
        for number, (value, mask) in enumerate(zip(values, masks, strict=True)):
            if not value[mask > 0].isfinite().all():
                raise UsageError(
                    f"{field}: {name} returned {value[mask > 0].tolist()[:4]} for sample {number}; "
                    "allowed: finite numbers"
                )
        return [value.where(mask > 0, 0) for value, mask in zip(values, masks, strict=True)]

    return advantages


def _by_token(
    answer: object, masks: Sequence[Float32[Tensor, " _"]], *, by_response: bool
) -> list[Float32[Tensor, " _"]] | None:
    """One value per token; None if the answer has another type or shape."""
    if isinstance(answer, Tensor):
        if answer.shape != (len(masks),):
            return None
        numbers = answer.detach().to("cpu", torch.float32)
        return [one.expand_as(mask) for one, mask in zip(numbers, masks, strict=True)]
    if by_response or not isinstance(answer, list | tuple) or len(answer) != len(masks):
        return None
    if not all(
        isinstance(one, Tensor) and one.shape == mask.shape
        for one, mask in zip(answer, masks, strict=True)
    ):
        return None
    return [one.detach().to("cpu", torch.float32) for one in answer]


def _shown(answer: object) -> str:
    if isinstance(answer, Tensor):
        return f"a tensor of shape {list(answer.shape)}"
    if isinstance(answer, list | tuple):
        shapes = [list(one.shape) if isinstance(one, Tensor) else one for one in answer]
        return f"a {type(answer).__name__} of {len(answer)}: {shapes!r}"[:200]
    return f"{answer!r}, a {type(answer).__name__}"[:200]
