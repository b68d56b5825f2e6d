"""`rljob run`: a job from its manifest to its report, on this machine."""

import os
import secrets
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from rljob.api import RLJob
from rljob.api.load import Check, load_job
from rljob.api.presence import missing
from rljob.api.support import unsupported
from rljob.buffer.client import TrainerBuffer
from rljob.buffer.connection import BufferUnavailable
from rljob.buffer.owner import owner_of
from rljob.cli import full_disk
from rljob.cli.description import describe, description
from rljob.cli.device import check_gpus, threads, visible_gpus
from rljob.cli.execution import Execution
from rljob.cli.failure import Failure, forget_failure, write_failure
from rljob.cli.local_app import LocalApp
from rljob.cli.output import Output, echo_json
from rljob.cli.port import check_free, free_ports
from rljob.cli.run_directory import Attempt, RunDirectory
from rljob.errors import EXIT_USAGE, UsageError
from rljob.plan.placement import LocalPlacement, Secrets
from rljob.plan.plan import plan
from rljob.plan.resolve import resolve, run_directory
from rljob.telemetry.outcome import is_finished

_HOST = "127.0.0.1"
_METRICS_OPTION = "--metrics-port"
_SECRET_BYTES = 24
_PATIENCE_SECONDS = 10.0


def run(
    file: Path,
    run_dir: Path | None,
    *,
    dry_run: Output | None,
    metrics_port: int | None,
    seed: int | None,
) -> int:
    """Run a job to its end, or with `dry_run` only print in that format what it would start.

    Returns the exit code.

    Raises:
        UsageError: the job can't run with this manifest, machine or run directory.
    """
    checks: list[Check] = [partial(unsupported, local=True)]
    if dry_run is None:
        checks.append(partial(missing, directory=file.parent))
    job = load_job(file, checks)
    if seed is not None:
        job = with_spec(job, seed=seed)
    path = run_directory(job, run_dir, Path.cwd())
    return run_resolved(
        resolve(job, file.parent, path),
        RunDirectory(path),
        file,
        dry_run=dry_run,
        metrics_port=metrics_port,
    )


def run_resolved(
    job: RLJob,
    directory: RunDirectory,
    manifest: Path,
    *,
    dry_run: Output | None = None,
    metrics_port: int | None = None,
    prepared: AbstractContextManager[None] | None = None,
) -> int:
    """Run a job whose paths are absolute, as `run` does; returns the exit code.

    Args:
        job: as the roles will read it.
        directory: its run directory.
        manifest: the file that the user gave.
        dry_run: as for `run`.
        metrics_port: of the trainer.
        prepared: what the roles need; entered only when the directory is locked and the run is not
            finished, and left when all roles have ended.

    Raises:
        UsageError: as for `run`.
    """
    gpus = visible_gpus() if job.spec.device == "auto" else []
    check_gpus(job, gpus)
    if metrics_port is not None:
        check_free(_HOST, metrics_port, _METRICS_OPTION)
    began = time.time()
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(began))}-{os.getpid()}"
    logs = directory.path / "logs" / name
    placement = _placement(job, directory, logs, metrics_port, gpus=bool(gpus))
    if dry_run is not None:
        app = plan(job, placement)
        if dry_run is Output.JSON:
            echo_json(description(app))
        else:
            sys.stdout.write(describe(app))
        return 0
    directory.lock()
    with full_disk.told(directory.path):
        directory.check_job(job)
        if is_finished(directory.path, job.spec.schedule):
            sys.stdout.write(
                f"{directory.path} holds a finished run: nothing to do. Raise "
                "spec.schedule.rollouts to continue, or choose another directory with --run-dir.\n"
            )
            return 0
        forget_failure(directory.path)
        logs.mkdir(parents=True)
        directory.write_job(job, manifest)
        attempt = Attempt(
            os.getpid(), began, str(logs), f"http://{_HOST}:{placement.metrics_port}/status"
        )
        directory.write_attempt(attempt)
        directory.share()
        if job.spec.buffer.external is not None:
            try:
                _empty_buffer(job, placement, directory.path)
            except UsageError as error:
                write_failure(directory.path, Failure(str(error), EXIT_USAGE))
                raise
        with prepared or nullcontext():
            app = LocalApp(plan(job, placement), logs=logs, gpus=gpus)
            code = Execution(app, job, directory, attempt, Console()).run()
        if job.spec.buffer.external is not None:
            try:
                _empty_buffer(job, placement, directory.path)
            except UsageError as error:
                sys.stdout.write(f"the job's keys were not removed: {error}\n")
        return code


def _empty_buffer(job: RLJob, placement: LocalPlacement, run_dir: Path) -> None:
    """Remove the job's keys from the user's own server, before the roles start and after their end.

    A run that was killed leaves its keys: before the trainer has started, workers could read there
    that the run is finished. All that a run needs to resume is in its directory.

    Raises:
        UsageError: another run of this name uses the server, or the server does not answer.
    """
    assert job.spec.buffer.external is not None
    assert job.spec.buffer.external.url is not None
    buffer = TrainerBuffer(
        job.spec.buffer.external.url,
        job.key,
        placement.secrets.buffer_password,
        owner=owner_of(run_dir),
        patience_seconds=_PATIENCE_SECONDS,
    )
    try:
        buffer.destroy()
    except BufferUnavailable as error:
        raise UsageError(f"spec.buffer.external.url: {error}; allowed: a running server") from error
    finally:
        buffer.close()


def with_spec(job: RLJob, **values: Any) -> RLJob:
    """The same job with other values of fields of its spec."""
    return job.model_copy(update={"spec": job.spec.model_copy(update=values)})


def _placement(
    job: RLJob, directory: RunDirectory, logs: Path, metrics_port: int | None, *, gpus: bool
) -> LocalPlacement:
    chosen = [] if metrics_port is None else [metrics_port]
    buffer, router, rendezvous, metrics = free_ports(_HOST, 4, besides=chosen)
    # The user's own server has the user's password.
    password = (
        secrets.token_urlsafe(_SECRET_BYTES)
        if job.spec.buffer.external is None
        else os.environ.get("RLJOB_BUFFER_PASSWORD")
    )
    return LocalPlacement(
        run_dir=str(directory.path),
        job_file=str(directory.job_file),
        reasons_dir=str(logs),
        host=_HOST,
        buffer_port=buffer,
        metrics_port=metrics if metrics_port is None else metrics_port,
        router_port=router,
        rendezvous_port=rendezvous,
        secrets=Secrets(
            buffer_password=password,
            engine_api_key=secrets.token_urlsafe(_SECRET_BYTES),
            engine_admin_key=secrets.token_urlsafe(_SECRET_BYTES),
        ),
        python=sys.executable,
        python_path=os.environ.get("PYTHONPATH", ""),
        gpus=gpus,
        threads=threads(job),
        supervisor=os.getpid(),
    )
