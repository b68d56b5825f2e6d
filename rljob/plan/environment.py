"""The environment variables of a role, the same on every platform."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from rljob.api import RLJob
from rljob.errors import UsageError

PREFIX = "RLJOB_"
ROLES = ("buffer", "trainer", "rollout", "router")


@dataclass(frozen=True)
class RoleEnvironment:
    """One role's replica; each field is the variable RLJOB_<FIELD>, unset if it is None.

    Args:
        role: buffer, trainer, rollout or router.
        replica: number of this process within the role, from 0.
        job_file: path of the resolved job (JSON), in which every path is absolute.
        run_dir: the run directory.
        buffer_url: redis://host:port/database, without a password.
        engine_api_key: key for generation requests to the engines.
        metrics_port: port of /metrics, /status and /healthz; 0: any free port.
        router_port: port of the router.
        host: address at which the other roles reach this one.
        rendezvous: host:port of the rendezvous of the trainer's processes.
        buffer_password: password of the buffer; None: it needs none.
        engine_admin_key: key for weight updates and pauses of the engines; None: none is needed.
        termination_file: where the reason of a failure is written; None: nowhere.
        supervisor: pid of the process that this one must not outlive; None: there is none.
        name: unique name of this process in the job, if its replica number is not unique.
        linger: after the run has finished, keep running until told to stop, where an exit would
            only lead to a restart. The trainer reports on /status that it is finished.
        job_uid: uid of the job in the cluster, which tells it from another job of the same name;
            None: there is no cluster. Only the trainer gets it.
        router_policy: how the router spreads requests, by sglang-router's name. Only the router
            gets it: it reads no option of the job file, so that changing those does not restart it.
        claim_chosen: whether the user named the claim of the run directory, and so may mean to
            continue another job's run.
    """

    role: str
    replica: int
    job_file: str
    run_dir: str
    buffer_url: str
    engine_api_key: str
    metrics_port: int
    router_port: int
    host: str
    rendezvous: str
    buffer_password: str | None = None
    engine_admin_key: str | None = None
    termination_file: str | None = None
    supervisor: int | None = None
    name: str | None = None
    linger: bool = False
    job_uid: str | None = None
    router_policy: str | None = None
    claim_chosen: bool = False

    @property
    def member(self) -> str:
        """Unique name of this process in the job."""
        return self.name or f"{self.role}-{self.replica}"

    def to_env(self) -> dict[str, str]:
        """The variables; those of fields that are None or False are left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            variable(name): "1" if value is True else str(value)
            for name, value in values.items()
            if value is not None and value is not False
        }

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "RoleEnvironment":
        """Read the variables.

        Raises:
            UsageError: a variable is missing, empty or invalid.
        """

        def text(name: str) -> str:
            value = environ.get(variable(name), "")
            if not value:
                raise UsageError(f"{variable(name)}: found nothing, allowed a string")
            return value

        def number(name: str) -> int:
            value = text(name)
            if not value.isdecimal():
                raise UsageError(f"{variable(name)}: found {value!r}, allowed a whole number")
            return int(value)

        def optional(name: str) -> str | None:
            return environ.get(variable(name)) or None

        role = text("role")
        if role not in ROLES:
            raise UsageError(f"{variable('role')}: found {role!r}, allowed {', '.join(ROLES)}")
        return cls(
            role=role,
            replica=number("replica"),
            job_file=text("job_file"),
            run_dir=text("run_dir"),
            buffer_url=text("buffer_url"),
            engine_api_key=text("engine_api_key"),
            metrics_port=number("metrics_port"),
            router_port=number("router_port"),
            host=text("host"),
            rendezvous=text("rendezvous"),
            buffer_password=optional("buffer_password"),
            engine_admin_key=optional("engine_admin_key"),
            termination_file=optional("termination_file"),
            supervisor=number("supervisor") if optional("supervisor") else None,
            name=optional("name"),
            linger=optional("linger") is not None,
            job_uid=optional("job_uid"),
            router_policy=optional("router_policy"),
            claim_chosen=optional("claim_chosen") is not None,
        )

    def job(self) -> RLJob:
        """The resolved job.

        Raises:
            UsageError: the job file can't be read.
        """
        try:
            return RLJob.model_validate_json(Path(self.job_file).read_bytes())
        except (OSError, ValueError) as error:
            raise UsageError(f"{variable('job_file')}: {self.job_file}: {error}") from error


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()
