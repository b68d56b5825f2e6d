"""Options passed through to megatron-core and SGLang, and the schedule of the learning rate."""

from collections.abc import Iterator
from typing import Any

from rljob.api.passthrough.table import Section, check_options
from rljob.api.problem import NOTHING, Path, Problem, problem
from rljob.api.rljob import RLJob
from rljob.api.rules.cel import Cel, twin
from rljob.api.vocabulary import Schema, part_of, schema_at, words

MEGATRON = ("spec", "trainer", "megatron")
OPTIMIZER = ("spec", "trainer", "optimizer")
SGLANG = ("spec", "rollout", "sglang")

# In CEL, of spec.trainer.optimizer; start_wd and end_wd default to weight_decay.
START = "(has(self.start_wd) ? self.start_wd : self.weight_decay)"
END = "(has(self.end_wd) ? self.end_wd : self.weight_decay)"
DECAYS = "(has(self.weight_decay) || (has(self.start_wd) && has(self.end_wd)))"
CONSTANT = "(!has(self.wd_incr_style) || self.wd_incr_style == 'constant')"
# In CEL, of spec.
WARMUP, DECAY = (f"self.trainer.optimizer.lr_{name}_steps" for name in ("warmup", "decay"))
STEPS = f"(has({DECAY}) ? {DECAY} : self.schedule.rollouts * self.schedule.stepsPerRollout)"
JSON_TYPES = {"integer": int, "boolean": bool, "string": str, "object": dict}


def megatron(job: RLJob) -> Iterator[Problem]:
    """`trainer.megatron` has only options of the pinned megatron-core that rljob does not set."""
    yield from _others("megatron", MEGATRON, job.spec.trainer.megatron)


def optimizer(job: RLJob) -> Iterator[Problem]:
    """`trainer.optimizer` likewise has only options of its optimizer and learning-rate schedule."""
    yield from _others("optimizer", OPTIMIZER, job.spec.trainer.optimizer)


def sglang(job: RLJob) -> Iterator[Problem]:
    """`rollout.sglang` likewise has only server arguments of the pinned SGLang."""
    yield from _others("sglang", SGLANG, job.spec.rollout.sglang)


def _others(section: Section, path: Path, given: dict[str, Any]) -> Iterator[Problem]:
    """Problems of the options that are not in the manifest's schema."""
    named = _named(path)
    yield from check_options(section, path, {k: v for k, v in given.items() if k not in named})


def named_values(job: RLJob) -> Iterator[Problem]:
    """The options and architecture fields listed above have the stated type and range."""
    for path, given in (
        (("spec", "model", "architecture"), job.spec.model.architecture or {}),
        (OPTIMIZER, job.spec.trainer.optimizer),
        (SGLANG, job.spec.rollout.sglang),
    ):
        for name, schema in _named(path).items():
            if given.get(name) is not None and not _fits(given[name], schema):
                yield problem((*path, name), given[name], words(schema))


def _named(path: Path) -> dict[str, Schema]:
    schema = schema_at(path)
    part = part_of(schema) if schema is not None else None
    properties: dict[str, Schema] = part["properties"] if part is not None else {}
    return properties


def _fits(value: Any, schema: Schema) -> bool:
    kind = schema.get("type")
    if kind == "number" and type(value) is int:
        pass
    elif kind is not None and type(value) is not JSON_TYPES.get(kind, float):
        return False
    return (
        value in schema.get("enum", [value])
        and ("minimum" not in schema or value >= schema["minimum"])
        and ("maximum" not in schema or value <= schema["maximum"])
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )


def _sound(job: RLJob) -> dict[str, Any]:
    """The optimizer's options in the manifest's schema that have valid values."""
    given, named = job.spec.trainer.optimizer, _named(OPTIMIZER)
    return {
        name: given[name] for name in named if name in given and _fits(given[name], named[name])
    }


def _at_most_lr(name: str) -> Cel:
    return Cel(
        at="spec.trainer.optimizer",
        rule=f"!has(self.lr) || !has(self.{name}) || self.{name} <= self.lr",
        message=f"found {{self.{name}}}, allowed at most {{self.lr}} (lr)",
        field=name,
    )


def _of_wsd(name: str) -> Cel:
    return Cel(
        at="spec.trainer.optimizer",
        rule=f"!has(self.lr_decay_style) || self.lr_decay_style != 'WSD' || has(self.{name})",
        message="found nothing, allowed a value (lr_decay_style is WSD)",
        field=name,
        reason="FieldValueRequired",
    )


@twin(
    _at_most_lr("min_lr"),
    _at_most_lr("init_lr"),
    Cel(
        at="spec",
        rule=f"!has({WARMUP}) || self.schedule.rollouts < 1 || {WARMUP} < {STEPS}",
        message=f"found {{{WARMUP}}}, allowed below {{{STEPS}}} "
        f"({{has({DECAY}) ? 'lr_decay_steps' : 'rollouts x stepsPerRollout'}})",
        field="trainer.optimizer.lr_warmup_steps",
    ),
    _of_wsd("wsd_decay_steps"),
    _of_wsd("lr_wsd_decay_style"),
)
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
    if schedule.trains and warmup >= steps:
        source = "lr_decay_steps" if "lr_decay_steps" in given else "rollouts x stepsPerRollout"
        yield problem((*OPTIMIZER, "lr_warmup_steps"), warmup, f"below {steps}", source)
    if given.get("lr_decay_style") == "WSD":
        for name in ("wsd_decay_steps", "lr_wsd_decay_style"):
            if job.spec.trainer.optimizer.get(name) is None:
                yield Problem((*OPTIMIZER, name), NOTHING, "a value", "lr_decay_style is WSD")


@twin(
    Cel(
        at="spec.trainer.optimizer",
        rule="!has(self.optimizer) || self.optimizer == 'adam' "
        "|| !has(self.use_distributed_optimizer) || !self.use_distributed_optimizer",
        message='found "{self.optimizer}", allowed adam (use_distributed_optimizer, whose '
        "checkpoints hold Adam's state)",
        field="optimizer",
    )
)
def distributed_optimizer_is_adam(job: RLJob) -> Iterator[Problem]:
    """`use_distributed_optimizer` needs `optimizer: adam`: its checkpoints hold Adam's state."""
    given = _sound(job)
    method = given.get("optimizer", "adam")
    if given.get("use_distributed_optimizer") and method != "adam":
        yield problem(
            (*OPTIMIZER, "optimizer"),
            method,
            "adam",
            "use_distributed_optimizer, whose checkpoints hold Adam's state",
        )


@twin(
    Cel(
        at="spec.trainer.optimizer",
        rule=f"!{DECAYS} || !{CONSTANT} || {START} == {END}",
        message=f"found {{{END}}}, allowed {{{START}}} (start_wd; wd_incr_style is constant)",
        field="end_wd",
    ),
    Cel(
        at="spec.trainer.optimizer",
        rule=f"!{DECAYS} || {CONSTANT} || {START} <= {END}",
        message=f"found {{{END}}}, allowed at least {{{START}}} (start_wd)",
        field="end_wd",
    ),
)
def weight_decay_schedule(job: RLJob) -> Iterator[Problem]:
    """`start_wd` is at most `end_wd`, and equal to it if `wd_incr_style` is constant."""
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
    named_values,
    learning_rate_schedule,
    distributed_optimizer_is_adam,
    weight_decay_schedule,
)
