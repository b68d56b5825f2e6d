"""The GPUs and cores of this machine, divided among the roles."""

import os
import subprocess

from rljob.api import RLJob
from rljob.api.estimator import generates
from rljob.errors import UsageError

CUDA_VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
_NVIDIA_SMI_SECONDS = 20


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = os.environ.get(CUDA_VISIBLE_DEVICES)
    if chosen is not None:
        names = [name.strip() for name in chosen.split(",")]
        return [name for name in names if name and name != "-1"]
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],  # noqa: S607 - on PATH
            capture_output=True,
            text=True,
            timeout=_NVIDIA_SMI_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return listing.stdout.split()


def check_gpus(job: RLJob, gpus: list[str]) -> None:
    """Raise UsageError if the machine has GPUs, but fewer than the job's roles need."""
    trainer, rollout = job.spec.trainer, job.spec.rollout
    needed = trainer.replicas * trainer.gpus_per_replica
    said = f"spec.trainer: {trainer.replicas} x {trainer.gpus_per_replica}"
    if generates(job.spec.algorithm):
        needed += rollout.replicas * rollout.gpus_per_replica
        said += f", spec.rollout: {rollout.replicas} x {rollout.gpus_per_replica}"
    if gpus and len(gpus) < needed:
        raise UsageError(
            f"the job needs {needed} GPUs ({said}), this machine has {len(gpus)}; lower "
            f"gpusPerReplica or replicas, or run on the CPU with {CUDA_VISIBLE_DEVICES}= (empty)"
        )


def threads(job: RLJob) -> int | None:
    """Threads for each compute process, so that they share the cores; None if the user chose."""
    if "OMP_NUM_THREADS" in os.environ:
        return None
    trainer, rollout = job.spec.trainer, job.spec.rollout
    processes = trainer.replicas * trainer.gpus_per_replica
    if generates(job.spec.algorithm):
        processes += rollout.replicas
    return max(1, len(os.sched_getaffinity(0)) // processes)
