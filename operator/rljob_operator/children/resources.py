"""The resources that containers request, unless an overlay sets others.

A pod without requests is evicted first and gets CPU time last, and a buffer that starves stops the
whole job. The requests are low, so that they do not keep a pod from a node that would do.
"""

from typing import Any

from rljob.api.quantity import canonical
from rljob_operator.children.wanted import Subject

_GPU = "nvidia.com/gpu"
# Of one process that computes: millicores, and MiB of memory (on the CPU the model's, too).
_BESIDE_GPU = (1000, 4096)
_TRAINER_CPU = (250, 768)
_ROLLOUT_CPU = (250, 2048)
_BUFFER_MEMORY = "256Mi"


def trainer(subject: Subject) -> dict[str, Any]:
    """Resources of a trainer's container."""
    return _of_processes(subject, subject.job.spec.trainer.gpus_per_replica, _TRAINER_CPU)


def rollout(subject: Subject) -> dict[str, Any]:
    """Resources of the container of a worker and its engine."""
    return _of_processes(subject, subject.job.spec.rollout.gpus_per_replica, _ROLLOUT_CPU)


def buffer(subject: Subject) -> dict[str, Any]:
    """Resources of the buffer's container."""
    memory = canonical(subject.job.spec.buffer.memory or _BUFFER_MEMORY)
    return {"requests": {"cpu": "100m", "memory": memory}}


def router() -> dict[str, Any]:
    """Resources of the router's container."""
    return {"requests": {"cpu": "100m", "memory": "128Mi"}}


def _of_processes(subject: Subject, count: int, on_cpu: tuple[int, int]) -> dict[str, Any]:
    on_gpus = subject.job.spec.device != "cpu"
    millicores, mebibytes = _BESIDE_GPU if on_gpus else on_cpu
    cores, rest = divmod(count * millicores, 1000)
    # Written as the API server writes them: what it stores is what was applied.
    cpu = f"{count * millicores}m" if rest else str(cores)
    requests = {"cpu": cpu, "memory": canonical(f"{count * mebibytes}Mi")}
    return {"requests": requests, **({"limits": {_GPU: str(count)}} if on_gpus else {})}
