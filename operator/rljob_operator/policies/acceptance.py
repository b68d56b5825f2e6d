"""Whether a job can be run as it is written."""

from collections.abc import Mapping
from typing import Any

from rljob.api import RLJob
from rljob.api.problem import Problem
from rljob.api.review import review
from rljob.api.support import unsupported
from rljob_operator.policies.cluster_path import paths_are_absolute


def accept(manifest: Mapping[str, Any]) -> tuple[RLJob | None, str, str]:
    """The job, or None with a reason and a message for a person.

    The message has every problem in a line of its own, as `rljob validate` prints them.
    """
    job, problems = review(manifest)
    if job is None:
        return None, "Invalid", _lines(problems)
    missing = list(paths_are_absolute(job))
    if missing:
        return None, "Invalid", _lines(missing)
    beyond = unsupported(job, local=False)
    if beyond:
        return None, "Unsupported", _lines(beyond)
    return job, "Valid", ""


def _lines(problems: list[Problem]) -> str:
    return "\n".join(str(problem) for problem in problems)
