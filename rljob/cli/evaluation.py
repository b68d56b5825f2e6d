"""`rljob eval`: a model's scores on the data sets of a job, without training."""

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from rljob.api import RLJob
from rljob.api.load import load_job
from rljob.api.presence import missing
from rljob.api.same_run import FIXED
from rljob.api.support import unsupported
from rljob.cli.export import export
from rljob.cli.run import run_resolved, with_spec
from rljob.cli.run_directory import RunDirectory, existing
from rljob.cli.scores import print_scores
from rljob.errors import UsageError
from rljob.model_config import read_config
from rljob.plan.resolve import resolve, run_directory
from rljob.report.run import read_run
from rljob.telemetry.outcome import is_finished

_SUFFIX = "-eval"
_LONGEST_NAME = 40  # of a job
_STEP = re.compile(r"step-\d+")
_EXPORTED = "exported"  # directory of the model of a checkpoint, below that of its evaluation


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that can start.

    Args:
        job: what will run, with absolute paths.
        directory: its run directory.
        subject: what is evaluated.
    """

    job: RLJob
    directory: RunDirectory
    subject: "Subject"


@dataclass(frozen=True)
class Subject:
    """What is evaluated.

    Args:
        file: the job's file.
        run_dir: the run; None: the file is a manifest.
        step: checkpoint of the run, such as step-000020; None: it is not one.
        model: directory of a Hugging Face model in place of the job's; None: the job's own, or the
            checkpoint.
    """

    file: Path
    run_dir: Path | None
    step: str | None
    model: Path | None


def evaluate(job: Path, checkpoint: str | None, run_dir: Path | None, seed: int | None) -> int:
    """Evaluate a model as the job says, with a run of no batches; returns the exit code.

    For the arguments see `prepare`.

    Raises:
        UsageError: as for `prepare`; and what `run` refuses.
    """
    evaluation = prepare(job, checkpoint, run_dir, seed)
    directory, subject = evaluation.directory, evaluation.subject
    if is_finished(directory.path, evaluation.job.spec.schedule):
        directory.check_job(evaluation.job, (*FIXED, "spec.evaluation"))
        sys.stdout.write(
            f"{directory.path} holds a finished evaluation: nothing to do. To repeat it, remove "
            "that directory, or choose another with --run-dir.\n"
        )
        _show(directory.path)
        return 0
    code = run_resolved(
        evaluation.job, directory, subject.file, prepared=_model(subject, directory.path)
    )
    if code == 0:
        _show(directory.path)
    return code


def prepare(
    job: Path, checkpoint: str | None, run_dir: Path | None, seed: int | None
) -> Evaluation:
    """The evaluation of a model, which needs no more than to be started.

    Args:
        job: manifest, or run directory.
        checkpoint: a checkpoint of the run, or a Hugging Face directory.
        run_dir: of the evaluation.
        seed: in place of the job's.

    Raises:
        UsageError: there is no such job, checkpoint or model, or nothing to evaluate.
    """
    subject = _subject(job, checkpoint)
    found = load_job(subject.file, [partial(unsupported, local=True)])
    if not found.spec.evaluation:
        raise UsageError(
            f"{subject.file}: spec.evaluation: found no data set, allowed at least one to evaluate "
            "the model on"
        )
    if subject.model is not None:
        model = found.spec.model.model_copy(update={"checkpoint": str(subject.model)})
        found = with_spec(found, model=model)
    absent = missing(found, subject.file.parent)
    if absent:
        raise UsageError("\n".join(f"{subject.file}: {problem}" for problem in absent))
    directory = RunDirectory(_directory(found, subject, run_dir))
    evaluation = resolve(_alone(found, seed), subject.file.parent, directory.path)
    if subject.step is not None:
        exported = str(directory.path / _EXPORTED)
        model = evaluation.spec.model.model_copy(update={"checkpoint": exported})
        evaluation = with_spec(evaluation, model=model)
    return Evaluation(evaluation, directory, subject)


def _subject(job: Path, checkpoint: str | None) -> Subject:
    if not job.is_dir():
        model = None if checkpoint is None else _model_directory(checkpoint, "")
        return Subject(job, None, None, model)
    run = existing(job)
    steps = sorted(
        path.name
        for path in (run.path / "checkpoints").glob("step-*")
        if _STEP.fullmatch(path.name)
    )
    if checkpoint is None and not steps:
        raise UsageError(
            f"{run.path / 'checkpoints'}: found no checkpoint, allowed a run that has saved one; "
            "or name a Hugging Face model with --checkpoint"
        )
    step = checkpoint or steps[-1]
    if step in steps:
        return Subject(run.job_file, run.path, step, None)
    allowed = "".join(f"{name}, " for name in steps)
    return Subject(run.job_file, run.path, None, _model_directory(step, allowed))


def _model_directory(checkpoint: str, others: str) -> Path:
    path = Path(checkpoint).expanduser().absolute()
    try:
        read_config(path)
    except UsageError as error:
        raise UsageError(
            f"--checkpoint: found {checkpoint}, allowed {others}the directory of a Hugging Face "
            f"model ({error})"
        ) from error
    return path


def _directory(job: RLJob, subject: Subject, chosen: Path | None) -> Path:
    """Directory of the evaluation, never that of a run that trains."""
    if chosen is not None:
        return chosen.absolute()
    if subject.run_dir is not None:
        name = subject.step or Path(job.spec.model.checkpoint).name
        return subject.run_dir.absolute() / "evaluations" / name
    trained = run_directory(job, None, Path.cwd())
    model = f"-{subject.model.name}" if subject.model is not None else ""
    return trained.with_name(f"{trained.name}{_SUFFIX}{model}")


def _alone(job: RLJob, seed: int | None) -> RLJob:
    """The job without training.

    It has a name of its own: the run may be live, and use the same external buffer.
    """
    name = job.metadata.name[: _LONGEST_NAME - len(_SUFFIX)].rstrip("-") + _SUFFIX
    metadata = job.metadata.model_copy(update={"name": name})
    schedule = job.spec.schedule.model_copy(update={"rollouts": 0})
    job = with_spec(job, schedule=schedule, seed=job.spec.seed if seed is None else seed)
    return job.model_copy(update={"metadata": metadata})


@contextmanager
def _model(subject: Subject, directory: Path) -> Iterator[None]:
    """While the evaluation runs, the checkpoint as a Hugging Face model in its directory."""
    if subject.step is None or subject.run_dir is None:
        yield
        return
    exported = directory / _EXPORTED
    shutil.rmtree(exported, ignore_errors=True)  # of an evaluation that was killed
    try:
        sys.stdout.write(f"exporting {subject.step} ...\n")
        sys.stdout.flush()
        export(subject.run_dir, subject.step, exported)
        yield
    finally:
        shutil.rmtree(exported, ignore_errors=True)


def _show(directory: Path) -> None:
    print_scores(Console(), read_run(directory).evaluations)
    sys.stdout.write(f"{directory / 'evaluations.jsonl'}\n")
