"""The verdict on one RLJob, wherever it comes from."""

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from rljob.api.depth import too_deep
from rljob.api.fields import parse
from rljob.api.problem import Path, Problem, show
from rljob.api.rljob import API_VERSION, KIND, RLJob
from rljob.api.rules import check


def review(manifest: Mapping[str, Any]) -> tuple[RLJob | None, list[Problem]]:
    """The job that an object of the API server describes, or everything that is wrong with it.

    Never raises for what the object says. Rules that look into a checkpoint are silent: its path
    is one in the pods.
    """
    job, problems = judge(manifest, set(), None)
    return (None if problems else job), problems


def judge(
    value: Mapping[str, Any], spoiled: set[Path], directory: FilePath | None
) -> tuple[RLJob | None, list[Problem]]:
    """Fields, then rules.

    Args:
        value: the manifest.
        spoiled: fields that could not be read; they are left out, and not told again.
        directory: where relative paths start; None: they are no paths of this machine.

    Returns:
        The job, partial where there are problems; None where the manifest is of another kind, or
        nested too deeply to be looked at.
    """
    unusable = _other_kind(value) or too_deep({"spec": value.get("spec")})
    if unusable:
        return None, unusable
    # The status is what was observed; a manifest may carry it along, and it means nothing here.
    job, problems = parse({key: part for key, part in value.items() if key != "status"}, spoiled)
    return job, problems + check(job, directory)


def _other_kind(value: Mapping[str, Any]) -> list[Problem]:
    """Whether this is another kind of object, whose fields say nothing about a job."""
    wanted = {"apiVersion": API_VERSION, "kind": KIND}
    return [
        Problem((key,), show(value[key]), allowed)
        for key, allowed in wanted.items()
        if key in value and value[key] != allowed
    ]
