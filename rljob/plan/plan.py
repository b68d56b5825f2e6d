"""The roles of a job: command, environment, replicas and resources of each."""

import os
from dataclasses import dataclass

from torchx.specs import AppDef, Resource, Role, macros

from rljob.api import RLJob
from rljob.api.estimator import generates
from rljob.plan.environment import RoleEnvironment, variable
from rljob.plan.placement import LocalPlacement

_ANY_PORT = 0
_UNKNOWN = -1  # torchx's value for a resource that is not requested


@dataclass(frozen=True)
class _Kind:
    """The properties in which roles differ."""

    name: str
    module: str
    replicas: int = 1
    processes: int = 1  # compute processes, each with a GPU if there are GPUs
    gpus: int = 0
    metrics_port: int = _ANY_PORT


def plan(job: RLJob, local: LocalPlacement) -> AppDef:
    """The roles of a job in the order in which they start; a pure function.

    Environment values are torchx templates: `$` is escaped as `$$`, and the replica's number is a
    macro.

    Args:
        job: resolved, all paths absolute.
        local: where the roles run.
    """
    return AppDef(
        name=job.metadata.name,
        roles=[_role(kind, job, local) for kind in _kinds(job, local)],
        metadata={"namespace": job.metadata.namespace},
    )


def _kinds(job: RLJob, local: LocalPlacement) -> list[_Kind]:
    trainer, rollout = job.spec.trainer, job.spec.rollout
    kinds = [
        _Kind(
            "trainer",
            "rljob_trainer",
            replicas=trainer.replicas,
            processes=trainer.gpus_per_replica,
            gpus=trainer.gpus_per_replica if local.gpus else 0,
            metrics_port=local.metrics_port,
        )
    ]
    if not generates(job.spec.algorithm):
        return kinds
    kinds.append(
        _Kind(
            "rollout",
            "rljob_rollout",
            replicas=rollout.replicas,
            gpus=rollout.gpus_per_replica if local.gpus else 0,
        )
    )
    if job.spec.buffer.external is None:
        kinds.insert(0, _Kind("buffer", "rljob.buffer"))
    if rollout.router.enabled:
        kinds.append(_Kind("router", "rljob_rollout.router"))
    return kinds


def _role(kind: _Kind, job: RLJob, local: LocalPlacement) -> Role:
    return Role(
        name=kind.name,
        image="",  # a local process has none
        entrypoint=local.python,
        args=["-m", kind.module],
        env=_variables(kind, job, local),
        num_replicas=kind.replicas,
        resource=Resource(cpu=kind.processes, gpu=kind.gpus, memMB=_UNKNOWN),
    )


def _variables(kind: _Kind, job: RLJob, local: LocalPlacement) -> dict[str, str]:
    environment = RoleEnvironment(
        role=kind.name,
        replica=0,
        job_file=local.job_file,
        run_dir=local.run_dir,
        buffer_url=buffer_url(job, local),
        engine_api_key=local.secrets.engine_api_key,
        metrics_port=kind.metrics_port,
        router_port=local.router_port,
        host=local.host,
        rendezvous=f"{local.host}:{local.rendezvous_port}",
        buffer_password=local.secrets.buffer_password,
        engine_admin_key=local.secrets.engine_admin_key,
        router_policy=job.spec.rollout.router.policy if kind.name == "router" else None,
        supervisor=local.supervisor,
    )
    values = {name: _literal(value) for name, value in environment.to_env().items()}
    values[variable("replica")] = macros.replica_id
    values[variable("termination_file")] = (
        f"{_literal(local.reasons_dir)}/{kind.name}-{macros.replica_id}"
    )
    code = job.spec.code.directory
    paths = [path for path in (code, local.python_path) if path]
    if paths:
        values["PYTHONPATH"] = _literal(os.pathsep.join(paths))
    if job.spec.device == "cpu":
        values["CUDA_VISIBLE_DEVICES"] = ""
    if local.threads is not None:
        values["OMP_NUM_THREADS"] = str(local.threads)
    return values


def buffer_url(job: RLJob, local: LocalPlacement) -> str:
    """The URL of the user's own server, or of the embedded one."""
    external = job.spec.buffer.external
    if external is not None and external.url is not None:
        return external.url
    return f"redis://{local.host}:{local.buffer_port}/0"


def _literal(text: str) -> str:
    """A text escaped for torchx's templates."""
    return text.replace("$", "$$")
