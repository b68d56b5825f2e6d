"""Rules over several fields that can be checked without a cluster."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from rljob.api.fields import is_left_out
from rljob.api.problem import Problem
from rljob.api.rljob import RLJob
from rljob.api.rules import (
    algorithm,
    data,
    divergence,
    mismatch,
    options,
    parallel,
    platform,
    reward,
    rollout,
    schedule,
    shape,
    supervised,
)

Found = TypeVar("Found")
Rule = Callable[[RLJob], Iterator[Problem]]
RULES: tuple[Rule, ...] = (
    *platform.RULES,
    *data.RULES,
    *algorithm.RULES,
    *divergence.RULES,
    *mismatch.RULES,
    *supervised.RULES,
    *schedule.RULES,
    *parallel.RULES,
    *rollout.RULES,
    *reward.RULES,
    *shape.RULES,
    *options.RULES,
)


def check(job: RLJob, directory: Path | None) -> list[Problem]:
    """Check all rules; a rule is skipped if a partial job lacks a field that it needs.

    Args:
        job: complete or partial, see `rljob.api.fields.parse`.
        directory: base of relative paths, the manifest's directory; None if the job's paths are
            not on this machine and must not be read.
    """
    problems = [problem for rule in RULES for problem in _verdict(partial(rule, job))]
    for found in _verdict(lambda: iter([shape.shape_of(job, directory)])):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            for rule in shape.SHAPE_RULES:
                problems += _verdict(partial(rule, job, found))
    return problems


def _verdict(rule: Callable[[], Iterator[Found]]) -> list[Found]:
    """The results of a rule, up to the first use of a field that is left out."""
    said: list[Found] = []
    try:
        said.extend(rule())
    except AttributeError as error:
        if not is_left_out(error):
            raise
    return said
