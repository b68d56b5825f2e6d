"""megatron-core's optimizer and learning-rate schedule, from spec.trainer.optimizer."""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from megatron.core.optimizer import (
    OptimizerConfig,
    get_megatron_optimizer,
    get_standard_config_overrides,
)
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler

from rljob.api.schedule import ScheduleSpec
from rljob.errors import UsageError
from rljob_trainer.megatron.cpu import named_as_cuda
from rljob_trainer.megatron.optimizer_state import allocate

# As slime's scripts have them: small constant steps suit policy gradients, and a shorter memory of
# squared gradients (beta2) follows their changing scale.
DEFAULT_RATE = 1e-6
_OPTIMIZER = {
    "optimizer": "adam",
    "lr": DEFAULT_RATE,
    "min_lr": 0.0,
    "weight_decay": 0.1,
    "adam_beta1": 0.9,
    "adam_beta2": 0.98,
    "adam_eps": 1e-8,
    "clip_grad": 1.0,
}
_OF_SCHEDULE = inspect.signature(OptimizerParamScheduler).parameters.keys() - {"optimizer"}
_ONLY_OF_SCHEDULE = _OF_SCHEDULE - {"min_lr"}


@dataclass(frozen=True)
class OptimizerOptions:
    """megatron-core's options of optimizer and schedule, as a manifest gives them.

    Args:
        field: where it gives them, for messages.
        given: by megatron-core's names.
    """

    field: str
    given: dict[str, Any]


def optimizer_config(options: OptimizerOptions, dtype: torch.dtype) -> Any:
    """Builds megatron-core's OptimizerConfig from the options that belong to it.

    Raises:
        UsageError: megatron-core refuses an option or its value.
    """
    given = {name: value for name, value in options.given.items() if name not in _ONLY_OF_SCHEDULE}
    fixed = {"params_dtype": dtype, "bf16": dtype == torch.bfloat16}
    for name in given.keys() & fixed.keys():
        raise UsageError(f"{options.field}.{name}: set it with spec.model.dtype")
    try:
        return OptimizerConfig(**_OPTIMIZER | given | fixed)
    except (AssertionError, TypeError, ValueError) as error:
        raise UsageError(f"{options.field}: megatron-core refuses it: {error}") from error


def build_optimizer(config: Any, chunks: list[Any]) -> Any:
    """Builds the optimizer of a model's parts, each in DDP; norms and biases don't decay."""
    overrides = get_standard_config_overrides(config)
    for override in overrides.values():
        if "max_lr" in override:
            # Without it megatron-core mistakes this group for another when it reads a checkpoint.
            override["is_decoupled_lr"] = True
    with named_as_cuda():
        optimizer = get_megatron_optimizer(config, chunks, config_overrides=overrides)
    allocate(optimizer)
    return optimizer


def build_scheduler(
    schedule: ScheduleSpec, options: OptimizerOptions, config: Any, optimizer: Any
) -> Any:
    """Builds the schedule of learning rate and weight decay, counted in optimizer steps.

    Raises:
        UsageError: its values contradict each other.
    """
    fields = {
        "init_lr": 0.0,
        "max_lr": config.lr,
        "min_lr": config.min_lr,
        "lr_warmup_steps": 0,
        "lr_decay_steps": schedule.rollouts * schedule.steps_per_rollout,
        "lr_decay_style": "constant",
        "start_wd": config.weight_decay,
        "end_wd": config.weight_decay,
        "wd_incr_steps": 0,
        "wd_incr_style": "constant",
        **{name: options.given[name] for name in options.given.keys() & _OF_SCHEDULE},
    }
    try:
        return OptimizerParamScheduler(optimizer, **fields)
    except (AssertionError, TypeError, ValueError) as error:
        raise UsageError(
            f"{options.field}: the learning rate's schedule contradicts itself: {fields}"
        ) from error
