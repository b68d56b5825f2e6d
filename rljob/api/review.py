"""Validation of one RLJob, from a file or from the API server."""

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from rljob.api.depth import too_deep
from rljob.api.fields import parse
from rljob.api.problem import Path, Problem, show
from rljob.api.rljob import API_VERSION, KIND, RLJob
from rljob.api.rules import check


def review(manifest: Mapping[str, Any]) -> tuple[RLJob | None, list[Problem]]:
    """The job that an object of the API server describes, or all its problems.

    Never raises because of the content. Rules that read a checkpoint are skipped: its path is one
    inside the pods.
    """
    job, problems = judge(manifest, set(), None)
    return (None if problems else job), problems


def judge(
    value: Mapping[str, Any], spoiled: set[Path], directory: FilePath | None
) -> tuple[RLJob | None, list[Problem]]:
    """Check the fields, then the rules.

    Args:
        value: the manifest.
        spoiled: fields that could not be read and were reported; they are left out, and not
            reported again.
        directory: base of relative paths; None if the paths are not on this machine.

    Returns:
        The job, partial if there are problems; None if the manifest is of another kind, or nested
        too deeply to be checked.
    """
    unusable = _other_kind(value) or too_deep({"spec": value.get("spec")})
    if unusable:
        return None, unusable
    # A manifest may contain a status, e.g. one exported from the cluster; it is ignored.
    job, problems = parse({key: part for key, part in value.items() if key != "status"}, spoiled)
    return job, problems + check(job, directory)


def _other_kind(value: Mapping[str, Any]) -> list[Problem]:
    """The problems if this is another kind of object, whose fields are then not checked."""
    wanted = {"apiVersion": API_VERSION, "kind": KIND}
    return [
        Problem((key,), show(value[key]), allowed)
        for key, allowed in wanted.items()
        if key in value and value[key] != allowed
    ]
