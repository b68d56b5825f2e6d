"""Rules over several fields that can be checked without a cluster."""

from collections.abc import Callable, Iterator
from pathlib import Path

from rljob.api.fields import is_left_out
from rljob.api.problem import Problem
from rljob.api.rljob import RLJob

Rule = Callable[[RLJob], Iterator[Problem]]
RULES: tuple[Rule, ...] = ()


def check(job: RLJob, directory: Path) -> list[Problem]:
    """Every rule's verdict; a rule that needs a field which a partial job lacks says nothing.

    Args:
        job: complete or partial, see `rljob.api.fields.parse`.
        directory: where relative paths start, the manifest's own.
    """
    problems: list[Problem] = []
    for rule in RULES:
        try:
            problems += rule(job)
        except AttributeError as error:
            if not is_left_out(error):
                raise
    return problems
