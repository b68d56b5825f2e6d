"""Paths of a manifest, which must be absolute on a cluster."""

from collections.abc import Iterator

from rljob.api import RLJob
from rljob.api.presence import model_paths
from rljob.api.problem import Path, Problem, problem


def paths_are_absolute(job: RLJob) -> Iterator[Problem]:
    """A problem for each relative path that a role would read."""
    spec = job.spec
    paths: list[tuple[Path, str]] = model_paths(job)
    paths += [
        (("spec", "data", "prompts", index), path) for index, path in enumerate(spec.data.prompts)
    ]
    paths += [
        (("spec", "evaluation", index, "prompts"), each.prompts)
        for index, each in enumerate(spec.evaluation)
    ]
    for place, path in paths:
        if not path.startswith("/"):
            yield problem(
                place, path, "an absolute path", "as the pods see it: spec.storage.volumes"
            )
