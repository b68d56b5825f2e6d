"""Resolves the paths of a job, so that its roles can run in any directory."""

import os
from pathlib import Path
from typing import TypeVar

from rljob.api import RLJob
from rljob.api.base import Part

P = TypeVar("P", bound=Part)


def run_directory(job: RLJob, chosen: Path | None, working_directory: Path) -> Path:
    """The run directory: the chosen one, the manifest's, or runs/<name>.

    A relative path starts at the working directory.
    """
    named = chosen or job.spec.storage.run.directory or Path("runs") / job.metadata.name
    return Path(_absolute(str(named), working_directory))


def resolve(job: RLJob, manifest_directory: Path, run_dir: Path) -> RLJob:
    """The same job with absolute paths; relative ones start at the manifest's directory."""
    spec = job.spec

    def absolute(path: str) -> str:
        return _absolute(path, manifest_directory)

    def optional(path: str | None) -> str | None:
        return None if path is None else absolute(path)

    critic = spec.algorithm.critic
    if critic is not None:
        critic = _with(critic, checkpoint=optional(critic.checkpoint))
    distillation = spec.algorithm.distillation
    if distillation is not None:
        distillation = _with(distillation, teacher=absolute(distillation.teacher))
    code = spec.code
    if code.config_map_ref is None:
        code = _with(code, directory=absolute(code.directory or "."))
    return _with(
        job,
        spec=_with(
            spec,
            model=_with(
                spec.model,
                checkpoint=absolute(spec.model.checkpoint),
                reference=optional(spec.model.reference),
            ),
            algorithm=_with(spec.algorithm, critic=critic, distillation=distillation),
            data=_with(spec.data, prompts=[absolute(path) for path in spec.data.prompts]),
            evaluation=[_with(each, prompts=absolute(each.prompts)) for each in spec.evaluation],
            storage=_with(spec.storage, run=_with(spec.storage.run, directory=str(run_dir))),
            code=code,
        ),
    )


def _absolute(path: str, start: Path) -> str:
    return os.path.normpath(start.absolute() / Path(path).expanduser())


def _with(part: P, **values: object) -> P:
    return part.model_copy(update=values)
