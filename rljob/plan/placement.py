"""Where the roles of a job run on one machine, and what they share there."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Secrets:
    """Made anew for every start; they reach the roles by their environment only."""

    buffer_password: str | None = field(repr=False)
    engine_api_key: str = field(repr=False)
    engine_admin_key: str | None = field(repr=False)


@dataclass(frozen=True)
class LocalPlacement:
    """All that a plan needs to know besides the job.

    Args:
        run_dir: absolute path of the run directory.
        job_file: absolute path of the resolved job.
        reasons_dir: absolute path of a directory for the reasons of failures.
        host: address on which the roles reach each other.
        buffer_port: of the embedded buffer.
        metrics_port: of the trainer.
        router_port: of the router.
        rendezvous_port: where the trainer's processes meet.
        secrets: passwords and keys.
        python: program that runs the roles.
        python_path: PYTHONPATH that the roles inherit; the job's own code comes before it.
        gpus: whether the roles get GPUs; otherwise all run on the CPU.
        threads: threads that one process computes with; None: as many as it likes.
        supervisor: pid of the process without which the roles must not go on.
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
