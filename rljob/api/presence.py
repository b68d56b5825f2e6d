"""Checks that the files and modules a job names exist on this machine."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path as FilePath

from rljob.api.problem import Path, Problem, problem
from rljob.api.reward_place import rewards_of
from rljob.api.rljob import RLJob
from rljob.errors import UsageError
from rljob.model_config import read_config


def is_here(job: RLJob, directory: FilePath) -> bool:
    """Whether the job seems meant for this machine: its model path is relative, or can exist."""
    return not FilePath(job.spec.model.checkpoint).expanduser().is_absolute() or (
        _resolved(job.spec.model.checkpoint, directory).parent.is_dir()
    )


def missing(job: RLJob, directory: FilePath) -> list[Problem]:
    """A problem for each file or module that the job names and that does not exist.

    The user's code is not run: for a hook, only the file of its module is looked up.

    Args:
        job: valid.
        directory: base of relative paths, the manifest's directory.
    """
    return [*_models(job, directory), *_files(job, directory), *_code(job, directory)]


def model_paths(job: RLJob) -> list[tuple[Path, str]]:
    """The directories of models that a job names, by field."""
    model, algorithm = job.spec.model, job.spec.algorithm
    critic, teacher = algorithm.critic, algorithm.distillation
    paths: list[tuple[Path, str | None]] = [
        (("spec", "model", "checkpoint"), model.checkpoint),
        (("spec", "model", "reference"), model.reference),
        (("spec", "algorithm", "critic", "checkpoint"), critic.checkpoint if critic else None),
        (("spec", "algorithm", "distillation", "teacher"), teacher.teacher if teacher else None),
    ]
    return [(path, value) for path, value in paths if value is not None]


def _models(job: RLJob, directory: FilePath) -> Iterator[Problem]:
    for path, value in model_paths(job):
        try:
            read_config(_resolved(value, directory))
        except UsageError as error:
            yield Problem(path, message=str(error))


def _files(job: RLJob, directory: FilePath) -> Iterator[Problem]:
    files: list[tuple[Path, str]] = []
    if job.spec.data.source is None:  # otherwise the class interprets the prompts
        files += [
            (("spec", "data", "prompts", index), name)
            for index, name in enumerate(job.spec.data.prompts)
        ]
    files += [
        (("spec", "evaluation", index, "prompts"), evaluation.prompts)
        for index, evaluation in enumerate(job.spec.evaluation)
    ]
    for path, name in files:
        if not _resolved(name, directory).is_file():
            yield problem(path, name, "a file", f"none at {_resolved(name, directory)}")


def _code(job: RLJob, directory: FilePath) -> Iterator[Problem]:
    code = job.spec.code
    if code.config_map_ref is not None:
        return
    own = _resolved(code.directory or ".", directory)
    if not own.is_dir():
        yield problem("spec.code.directory", code.directory, "a directory", f"none at {own}")
        return
    for path, hook in _hooks(job):
        module = hook.partition(":")[0].split(".")
        # Roles also import from the working directory.
        if not (_holds(own, module) or _holds(FilePath.cwd(), module) or _installed(module[0])):
            reason = f"neither in {own} (spec.code.directory) nor installed"
            yield problem(path, hook, "a module that exists", reason)


def _hooks(job: RLJob) -> Iterator[tuple[Path, str]]:
    spec = job.spec
    rewards = [((*path, "type"), reward.type) for path, reward in rewards_of(job)]
    others: tuple[tuple[Path, str | None], ...] = (
        (("spec", "data", "source"), spec.data.source),
        (("spec", "algorithm", "estimator"), spec.algorithm.estimator),
        (("spec", "algorithm", "advantage"), spec.algorithm.advantage),
        (("spec", "algorithm", "filter"), spec.algorithm.filter),
        (("spec", "rollout", "generate"), spec.rollout.generate),
        (("spec", "rollout", "bufferFilter"), spec.rollout.buffer_filter),
    )
    for path, name in (*others, *rewards):
        if name is not None and ":" in name:
            yield path, name


def _holds(directory: FilePath, module: list[str]) -> bool:
    *packages, name = module
    place = directory.joinpath(*packages)
    return (
        (place / f"{name}.py").is_file()
        or (place / name).is_dir()
        or any(place.glob(f"{name}.*.so"))
    )


def _installed(package: str) -> bool:
    """Whether the top-level package is installed; looking further inside would run its code."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _resolved(path: str, directory: FilePath) -> FilePath:
    return (directory / FilePath(path).expanduser()).absolute()
