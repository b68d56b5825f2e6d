"""Where the roles of a job run on one machine: paths, ports and secrets."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Secrets:
    """Secrets, generated for every start and passed to the roles only in their environment."""

    buffer_password: str | None = field(repr=False)
    engine_api_key: str = field(repr=False)
    engine_admin_key: str | None = field(repr=False)


@dataclass(frozen=True)
class LocalPlacement:
    """What a plan needs besides the job.

    Args:
        run_dir: absolute path of the run directory.
        job_file: absolute path of the resolved job.
        reasons_dir: absolute path of a directory for the reasons of failures.
        host: address on which the roles reach each other.
        buffer_port: port of the embedded buffer.
        metrics_port: port of the trainer's metrics and status.
        router_port: port of the router.
        rendezvous_port: port of the rendezvous of the trainer's processes.
        secrets: passwords and keys.
        python: Python interpreter that runs the roles.
        python_path: PYTHONPATH that the roles inherit; the job's own code comes before it.
        gpus: whether the roles get GPUs; otherwise all run on the CPU.
        threads: compute threads of one process; None: no limit.
        supervisor: pid of the process that the roles must not outlive.
    """

    run_dir: str
    job_file: str
    reasons_dir: str
    host: str
    buffer_port: int
    metrics_port: int
    router_port: int
    rendezvous_port: int
    secrets: Secrets
    python: str
    python_path: str
    gpus: bool
    threads: int | None
    supervisor: int | None
