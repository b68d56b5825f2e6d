"""One process of the trainer, as torchrun starts it."""

from pathlib import Path

import structlog
import torch.distributed as dist
from prometheus_client import CollectorRegistry

from rljob.api import RLJob
from rljob.api.caution import cautions
from rljob.api.presence import model_paths
from rljob.api.problem import field_name
from rljob.buffer.client import TrainerBuffer
from rljob.buffer.connection import BufferUnavailable
from rljob.buffer.owner import owner_of
from rljob.errors import UsageError
from rljob.plan.environment import RoleEnvironment
from rljob.report.page import write_report
from rljob.telemetry.outcome import is_finished
from rljob.telemetry.role import run_role
from rljob.telemetry.server import StatusServer
from rljob_trainer.checkpoints.checkpoint import Checkpoints
from rljob_trainer.conductor import Conductor
from rljob_trainer.data.same_tokens import check_same_tokens
from rljob_trainer.desk import Desk
from rljob_trainer.files.run_owner import take
from rljob_trainer.learning.learner import Learner
from rljob_trainer.megatron.parallel import Parallel, initialize
from rljob_trainer.models.source import open_source
from rljob_trainer.process.collective import Rank0
from rljob_trainer.process.stop import StopFlag
from rljob_trainer.samples.incarnation import IncarnationFile
from rljob_trainer.telemetry.recorder import finished_status

log = structlog.get_logger()


def main(environment: RoleEnvironment) -> int:
    """Trains the job of the environment; returns the exit code."""
    job = environment.job()
    run_dir = Path(environment.run_dir)
    stop = StopFlag().listen()
    parallel = initialize(job)
    rank0 = Rank0(parallel.rank)
    reused = rank0(lambda: take(environment, job))
    if rank0(lambda: is_finished(run_dir, job.spec.schedule)):
        rank0(lambda: _say_finished(job, environment))
    else:
        try:
            _conductor(job, environment, parallel, rank0, stop, reused=reused).run()
        finally:
            if parallel.rank == 0 and environment.linger:  # else `rljob run` writes it
                _write_report(run_dir)
    dist.destroy_process_group()
    if environment.linger:
        stop.wait_for_it()
        if parallel.rank == 0 and job.spec.buffer.external is not None:
            _empty_buffer(job, environment)
    return 0


def _conductor(
    job: RLJob,
    environment: RoleEnvironment,
    parallel: Parallel,
    rank0: Rank0,
    stop: StopFlag,
    *,
    reused: str,
) -> Conductor:
    spec = job.spec
    run_dir = Path(environment.run_dir)
    desk: Desk | None = None

    def open_desk() -> None:
        nonlocal desk
        for field, directory in model_paths(job):
            open_source(Path(directory), spec.model.architecture)
            check_same_tokens(field_name(field), Path(directory), Path(spec.model.checkpoint))
        desk = Desk(job, environment, device=parallel.device, stop=stop)
        desk.recorder.update(reused_run=reused)
        for warning in cautions(job):
            log.warning("manifest.warning", message=str(warning))

    # First, so that errors in the checkpoint or the data show before the model is built.
    rank0(open_desk)
    return Conductor(
        job,
        learner=Learner(job, parallel, rank0),
        rank0=rank0,
        desk=desk,
        checkpoints=Checkpoints(
            run_dir / "checkpoints", spec.schedule.keep_last, spec.schedule.keep_every
        ),
        output=run_dir / "model",
    )


def _write_report(run_dir: Path) -> None:
    """The run is worth more than its report: a failure is only logged."""
    try:
        log.info("report.written", path=str(write_report(run_dir)))
    except OSError as error:
        log.warning("report.failed", error=str(error))


def _say_finished(job: RLJob, environment: RoleEnvironment) -> None:
    """Tells the other roles that the run had already finished, so that they end at once."""
    log.info("run.finished", state="succeeded", message="the run had already finished")
    buffer = _buffer(job, environment)
    buffer.start(IncarnationFile(Path(environment.run_dir)).read())
    buffer.set_phase("finished")
    buffer.close()
    if environment.linger:
        status = finished_status(Path(environment.run_dir), job)
        host, port = environment.host, environment.metrics_port
        StatusServer(host, port, CollectorRegistry(), lambda: status).start()


def _empty_buffer(job: RLJob, environment: RoleEnvironment) -> None:
    """Removes the job's keys from a server that the user provides; nothing uses them any more.

    Rollouts end before the trainer does, and the run directory has all that is needed to resume.
    """
    buffer = _buffer(job, environment)
    try:
        buffer.destroy()
    except (BufferUnavailable, UsageError) as error:
        log.warning("buffer.keys_left", message=str(error))
    finally:
        buffer.close()


def _buffer(job: RLJob, environment: RoleEnvironment) -> TrainerBuffer:
    return TrainerBuffer(
        environment.buffer_url,
        job.key,
        environment.buffer_password,
        owner=owner_of(Path(environment.run_dir)),
    )


if __name__ == "__main__":
    run_role("trainer", main)
