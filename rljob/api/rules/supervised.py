"""Supervised fine-tuning, `spec.algorithm.estimator: sft`: nothing is generated."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from rljob.api.algorithm import SUPERVISED, AlgorithmSpec
from rljob.api.base import Part
from rljob.api.buffer import BufferSpec
from rljob.api.estimator import generates
from rljob.api.problem import Problem, problem, show
from rljob.api.rljob import RLJob
from rljob.api.rollout import RolloutSpec
from rljob.api.rules.cel import Cel, twin
from rljob.api.schedule import ScheduleSpec
from rljob.api.weights import WeightsSpec

_WHY = "estimator is sft: answers are learned from the data, nothing is generated or judged"
_PARTS: dict[str, type[Part]] = {
    "algorithm": AlgorithmSpec,
    "schedule": ScheduleSpec,
    "rollout": RolloutSpec,
    "weights": WeightsSpec,
    "buffer": BufferSpec,
}
# What keeps its meaning in them. Parts that are not listed above keep all of theirs.
_USED = {
    "algorithm.estimator",
    "algorithm.reduction",
    "algorithm.samplesPerPrompt",  # see `one_answer_per_prompt`
    "algorithm.critic",  # see `critic_of_gae`
    "algorithm.limits.gradientNorm",
    "schedule.rollouts",
    "schedule.rolloutBatchSize",
    "schedule.globalBatchSize",
    "schedule.stepsPerRollout",
    "schedule.saveInterval",
    "schedule.keepLast",
    "schedule.keepEvery",
    "rollout.sampling.maxResponseTokens",  # the longest answer
}


@dataclass(frozen=True)
class _Unused:
    """A field without a meaning.

    Args:
        path: below spec, with dots.
        names: the same in Python.
        default: the only value that is allowed.
        annotation: its type.
    """

    path: str
    names: tuple[str, ...]
    default: Any
    annotation: Any

    def of(self, job: RLJob) -> Any:
        """The value in a job."""
        value: Any = job.spec
        for name in self.names:
            value = getattr(value, name)
        return value

    @property
    def cel(self) -> Iterator[Cel]:
        """What the API server checks; nothing of options passed through, which it can't see."""
        here = f"self.{self.path}"
        match self.default:
            case None:
                holds, found = f"!has({here})", self._found(here)
            case bool() | int() | float() | str():
                holds, found = f"{here} == {json.dumps(self.default)}", self._found(here)
            case []:
                holds, found = f"size({here}) == 0", "a list"
            case _:
                return
        yield Cel(
            at="spec",
            rule=f"self.algorithm.estimator != '{SUPERVISED}' || {holds}",
            message=f"found {found}, allowed {show(self.default)} ({_WHY})",
            field=self.path,
            reason="FieldValueForbidden",
        )

    def _found(self, here: str) -> str:
        kinds = get_args(self.annotation) or (self.annotation,)
        if any(isinstance(kind, type) and issubclass(kind, Part) for kind in kinds):
            return "a mapping"
        plain = any(kind in (bool, int, float) for kind in _flat(self.annotation))
        return f"{{{here}}}" if plain else f'"{{{here}}}"'


def _flat(annotation: Any) -> Iterator[Any]:
    """The types inside unions and annotations."""
    yield annotation
    for inner in get_args(annotation):
        yield from _flat(inner)


def _unused(part: type[Part], path: str, names: tuple[str, ...]) -> Iterator[_Unused]:
    """The fields of a part, and of those inside it, that have no meaning."""
    for name, field in part.model_fields.items():
        here, place = f"{path}.{field.alias}", (*names, name)
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Part):
            yield from _unused(inner, here, place)
        elif here not in _USED:
            value = field.get_default(call_default_factory=True, validated_data={})
            yield _Unused(here, place, value, inner)


_UNUSED = tuple(found for name, part in _PARTS.items() for found in _unused(part, name, (name,)))


@twin(
    *(cel for unused in _UNUSED for cel in unused.cel),
    Cel(
        at="spec",
        rule=f"self.algorithm.estimator != '{SUPERVISED}' || size(self.evaluation) == 0",
        message=f"found a list, allowed an empty list ({_WHY})",
        field="evaluation",
        reason="FieldValueForbidden",
    ),
    Cel(
        at="spec",
        rule=f"self.algorithm.estimator != '{SUPERVISED}' || !has(self.model.reference)",
        message=f'found "{{self.model.reference}}", allowed null ({_WHY})',
        field="model.reference",
        reason="FieldValueForbidden",
    ),
)
def nothing_is_generated(job: RLJob) -> Iterator[Problem]:
    """With `estimator: sft`, `rollout`, `weights`, `buffer`, `evaluation`, `model.reference` and
    the fields of `algorithm` and `schedule` that concern generated samples have their defaults;
    `rollout.sampling.maxResponseTokens` bounds the answers."""
    if generates(job.spec.algorithm):
        return
    for unused in _UNUSED:
        value = unused.of(job)
        if value != unused.default:
            yield problem(f"spec.{unused.path}", value, show(unused.default), _WHY)
    if job.spec.evaluation:
        yield problem("spec.evaluation", job.spec.evaluation, "an empty list", _WHY)
    if job.spec.model.reference is not None:
        yield problem("spec.model.reference", job.spec.model.reference, "null", _WHY)


@twin(
    Cel(
        at="spec.algorithm",
        rule=f"self.estimator != '{SUPERVISED}' || self.samplesPerPrompt == 1",
        message="found {self.samplesPerPrompt}, allowed 1 (estimator is sft: a prompt has the one "
        "answer of its label)",
        field="samplesPerPrompt",
    )
)
def one_answer_per_prompt(job: RLJob) -> Iterator[Problem]:
    """With `estimator: sft`, `samplesPerPrompt` is 1: a prompt has the one answer of its label."""
    samples = job.spec.algorithm.samples_per_prompt
    if not generates(job.spec.algorithm) and samples != 1:
        yield problem(
            "spec.algorithm.samplesPerPrompt",
            samples,
            "1",
            "estimator is sft: a prompt has the one answer of its label",
        )


RULES = (nothing_is_generated, one_answer_per_prompt)
