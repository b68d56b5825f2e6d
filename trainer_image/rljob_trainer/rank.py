"""One process of the trainer, as torchrun starts it."""

from pathlib import Path

import structlog
import torch.distributed as dist
from prometheus_client import CollectorRegistry

from rljob.api import RLJob
from rljob.api.caution import cautions
from rljob.api.estimator import generates
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
from rljob_trainer.learning.supervised_learner import SupervisedLearner
from rljob_trainer.megatron.parallel import Parallel, initialize
from rljob_trainer.models.source import open_source
from rljob_trainer.process.collective import Rank0
from rljob_trainer.process.stop import StopFlag
from rljob_trainer.samples.incarnation import IncarnationFile
from rljob_trainer.supervised.conductor import SupervisedConductor
from rljob_trainer.supervised.desk import SupervisedDesk
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
        make = _conductor if generates(job.spec.algorithm) else _supervised_conductor
        try:
            make(job, environment, parallel, rank0, stop, reused=reused).run()
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
    desk: Desk | None = None

    def open_desk() -> None:
        nonlocal desk
        _check_models(job)
        desk = Desk(job, environment, device=parallel.device, stop=stop)
        desk.recorder.update(reused_run=reused)
        for warning in cautions(job):
            log.warning("manifest.warning", message=str(warning))

    # First, so that errors in the checkpoint or the data show before the model is built.
    rank0(open_desk)
    run_dir = Path(environment.run_dir)
    return Conductor(
        job,
        learner=Learner(job, parallel, rank0),
        rank0=rank0,
        desk=desk,
        checkpoints=_checkpoints(job, run_dir),
        output=run_dir / "model",
    )


def _supervised_conductor(
    job: RLJob,
    environment: RoleEnvironment,
    parallel: Parallel,
    rank0: Rank0,
    stop: StopFlag,
    *,
    reused: str,
) -> SupervisedConductor:
    desk: SupervisedDesk | None = None

    def open_desk() -> None:
        nonlocal desk
        _check_models(job)
        desk = SupervisedDesk(job, environment, stop=stop)
        desk.recorder.update(reused_run=reused)

    rank0(open_desk)  # first, as above
    run_dir = Path(environment.run_dir)
    return SupervisedConductor(
        job,
        learner=SupervisedLearner(job, parallel),
        rank0=rank0,
        desk=desk,
        checkpoints=_checkpoints(job, run_dir),
        output=run_dir / "model",
    )


def _check_models(job: RLJob) -> None:
    spec = job.spec.model
    for field, directory in model_paths(job):
        open_source(Path(directory), spec.architecture)
        check_same_tokens(field_name(field), Path(directory), Path(spec.checkpoint))


def _checkpoints(job: RLJob, run_dir: Path) -> Checkpoints:
    schedule = job.spec.schedule
    return Checkpoints(run_dir / "checkpoints", schedule.keep_last, schedule.keep_every)


def _write_report(run_dir: Path) -> None:
    """The run is worth more than its report: a failure is only logged."""
    try:
        log.info("report.written", path=str(write_report(run_dir)))
    except OSError as error:
        log.warning("report.failed", error=str(error))


def _say_finished(job: RLJob, environment: RoleEnvironment) -> None:
    """Tells the other roles, if there are any, that the run had finished: they end at once."""
    log.info("run.finished", state="succeeded", message="the run had already finished")
    if generates(job.spec.algorithm):
        _end_others(job, environment)
    if environment.linger:
        status = finished_status(Path(environment.run_dir), job)
        host, port = environment.host, environment.metrics_port
        StatusServer(host, port, CollectorRegistry(), lambda: status).start()


def _end_others(job: RLJob, environment: RoleEnvironment) -> None:
    buffer = _buffer(job, environment)
    buffer.start(IncarnationFile(Path(environment.run_dir)).read())
    buffer.set_phase("finished")
    buffer.close()


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
