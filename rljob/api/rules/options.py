"""Options passed through to megatron-core and SGLang, and the schedule of the learning rate."""

from collections.abc import Iterator
from typing import Any

from rljob.api.passthrough.table import check_options, options
from rljob.api.problem import NOTHING, Problem, problem
from rljob.api.rljob import RLJob

OPTIMIZER = ("spec", "trainer", "optimizer")


def megatron(job: RLJob) -> Iterator[Problem]:
    """`trainer.megatron` has options of the pinned megatron-core that rljob does not set."""
    yield from check_options("megatron", ("spec", "trainer", "megatron"), job.spec.trainer.megatron)


def optimizer(job: RLJob) -> Iterator[Problem]:
    """`trainer.optimizer` likewise, of its optimizer and learning-rate schedule."""
    yield from check_options("optimizer", OPTIMIZER, job.spec.trainer.optimizer)


def sglang(job: RLJob) -> Iterator[Problem]:
    """`rollout.sglang` likewise, of the pinned SGLang's server."""
    yield from check_options("sglang", ("spec", "rollout", "sglang"), job.spec.rollout.sglang)


def _sound(job: RLJob) -> dict[str, Any]:
    """The optimizer's options that have the right type."""
    known = options("optimizer")
    given = job.spec.trainer.optimizer
    return {name: given[name] for name in given if name in known and known[name].takes(given[name])}


def optimizer_values(job: RLJob) -> Iterator[Problem]:
    """Rates, decays, betas and steps of `trainer.optimizer` are in their ranges."""
    given = _sound(job)
    for name, low, high in (
        ("min_lr", 0, None),
        ("init_lr", 0, None),
        ("weight_decay", 0, None),
        ("start_wd", 0, None),
        ("clip_grad", 0, None),
        ("lr_warmup_steps", 0, None),
        ("lr_decay_steps", 1, None),
        ("wsd_decay_steps", 1, None),
        ("wd_incr_steps", 0, None),
        ("optimizer_offload_fraction", 0, 1),
    ):
        value = given.get(name)
        if value is not None and (value < low or (high is not None and value > high)):
            allowed = f"at least {low}" if high is None else f"from {low} to {high}"
            yield problem((*OPTIMIZER, name), value, allowed)
    for name in ("adam_beta1", "adam_beta2"):
        if not 0 <= given.get(name, 0) < 1:
            yield problem((*OPTIMIZER, name), given[name], "at least 0 and below 1")
    for name in ("lr", "adam_eps"):
        if name in given and (given[name] is None or given[name] <= 0):
            yield problem((*OPTIMIZER, name), given[name], "a number above 0")


def learning_rate_schedule(job: RLJob) -> Iterator[Problem]:
    """`min_lr` and `init_lr` are at most `lr`; the warm-up ends before the decay."""
    given = _sound(job)
    lr = given.get("lr")
    for name in ("min_lr", "init_lr"):
        if lr is not None and given.get(name, 0) > lr:
            yield problem((*OPTIMIZER, name), given[name], f"at most {lr}", "lr")
    schedule = job.spec.schedule
    steps = given.get("lr_decay_steps", schedule.rollouts * schedule.steps_per_rollout)
    warmup = given.get("lr_warmup_steps", 0)
    if warmup >= steps:
        source = "lr_decay_steps" if "lr_decay_steps" in given else "rollouts x stepsPerRollout"
        yield problem((*OPTIMIZER, "lr_warmup_steps"), warmup, f"below {steps}", source)
    if given.get("lr_decay_style") == "WSD":
        for name in ("wsd_decay_steps", "lr_wsd_decay_style"):
            if given.get(name) is None:
                yield Problem((*OPTIMIZER, name), NOTHING, "a value", "lr_decay_style is WSD")


def weight_decay_schedule(job: RLJob) -> Iterator[Problem]:
    """`start_wd` is at most `end_wd`, and equal to it where `wd_incr_style` is constant."""
    given = _sound(job)
    if "start_wd" not in given and "end_wd" not in given:
        return
    decay = given.get("weight_decay")
    start, end = given.get("start_wd", decay), given.get("end_wd", decay)
    if start is None or end is None:
        return
    style = given.get("wd_incr_style", "constant")
    if style == "constant" and start != end:
        yield problem(
            (*OPTIMIZER, "end_wd"), end, f"{start}", "start_wd; wd_incr_style is constant"
        )
    elif end < start:
        yield problem((*OPTIMIZER, "end_wd"), end, f"at least {start}", "start_wd")


RULES = (
    megatron,
    optimizer,
    sglang,
    optimizer_values,
    learning_rate_schedule,
    weight_decay_schedule,
)
