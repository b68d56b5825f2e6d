"""Allocates optimizer state at the start, so that checkpoints work before the first step."""

from collections.abc import Iterator
from typing import Any

import torch
from megatron.core.optimizer import USING_PYTORCH_OPTIMIZER
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer


def allocate(optimizer: Any) -> None:
    """Gives every parameter the state that it has after its first step, all zeros.

    megatron-core leaves this to the first step. Before that a checkpoint would have no state, and
    the distributed optimizer could not load one.

    Args:
        optimizer: megatron-core's, just built.
    """
    for part in optimizer.chained_optimizers:
        if part.init_state_fn is not None:
            part.init_state_fn(part.optimizer, part.config)
        elif isinstance(part.optimizer, torch.optim.SGD):
            _allocate_momentum(part.optimizer)
            part.init_state_fn = _nothing  # megatron-core calls it, and has none for SGD
    _set_step(optimizer, 0)
    if USING_PYTORCH_OPTIMIZER:
        DistributedOptimizer._set_main_param_and_optimizer_states = _set_states


def current_step(optimizer: Any) -> int:
    """Steps that torch's Adam has taken, for bias correction; other optimizers count themselves."""
    return max((int(state["step"]) for state in _of_torch_adam(optimizer)), default=0)


def load(optimizer: Any, state: dict[str, Any], step: int) -> None:
    """Restores the optimizer state of a checkpoint.

    megatron-core would restore the parameter groups, too: learning rates, betas, epsilon, weight
    decay. Here they are settings, and those of the present job apply.

    Args:
        optimizer: with all state allocated.
        state: as dist_checkpointing returns it; modified in place.
        step: `current_step` when the checkpoint was made.
    """
    own = optimizer.state_dict()
    inner, own = state.get("optimizer", state), own.get("optimizer", own)
    # A fused Adam keeps its step count in the groups, the same in each.
    count = next(({"step": g["step"]} for g in inner["param_groups"] if "step" in g), {})
    inner["param_groups"] = [group | count for group in own["param_groups"]]
    if "state" in inner and any(_of_torch_adam(optimizer)):
        # megatron-core omits a count of 0, without which torch restores no state.
        inner["state"]["common_step"] = torch.tensor(float(step))
    optimizer.load_state_dict(state)
    _set_step(optimizer, step)


def _set_step(optimizer: Any, step: int) -> None:
    """Gives every parameter of torch's Adam its own step count.

    The distributed optimizer loads one shared tensor, which each step would increment once per
    parameter.
    """
    for state in _of_torch_adam(optimizer):
        state["step"] = torch.tensor(float(step))


def _of_torch_adam(optimizer: Any) -> Iterator[dict[str, Any]]:
    if USING_PYTORCH_OPTIMIZER:
        for part in optimizer.chained_optimizers:
            if isinstance(part.optimizer, torch.optim.Adam):  # AdamW is one
                yield from part.optimizer.state.values()


def _allocate_momentum(optimizer: torch.optim.SGD) -> None:
    for group in optimizer.param_groups:
        if group["momentum"]:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _nothing(*_args: Any) -> None:
    """Does nothing: all state is already there."""


def _set_states(optimizer: Any, parameter: Any, tensors: dict[str, torch.Tensor]) -> None:
    """Replaces DistributedOptimizer's method, which takes torch's `step` for sharded state.

    It copies every other state of a parameter; the checkpoint stores the step separately.
    """
    group, order = optimizer.model_param_group_index_map[parameter]
    main = optimizer.optimizer.param_groups[group]["params"][order]
    states = {"param": main, **optimizer.optimizer.state[main]}
    with torch.no_grad():
        for name in states.keys() & tensors.keys():
            states[name].copy_(tensors[name])
