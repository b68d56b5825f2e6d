"""The resources of containers, unless an overlay sets others.

A pod without requests is evicted first and gets CPU time last, and a buffer that starves stops the
whole job. The requests are low, so that they do not keep a pod from a node that would do.

A job on CPUs also has limits, which quotas may ask for. They are far above the requests: they keep
a leak from taking the node down, and do not have to know the size of the model. With GPUs, the
memory on the host depends on the model and on what is offloaded, so only the template sets a limit.
"""

from typing import Any

from rljob.api.quantity import canonical, times
from rljob_operator.children.wanted import Subject

_GPU = "nvidia.com/gpu"
# Of one process that computes: millicores, and MiB of memory (on the CPU the model's, too).
_BESIDE_GPU = (1000, 4096)
_TRAINER_CPU = (250, 768)
_ROLLOUT_CPU = (250, 2048)
_CPU_LIMIT = (4000, 16384)
_BUFFER_MEMORY = "256Mi"


def trainer(subject: Subject) -> dict[str, Any]:
    """Resources of a trainer's container."""
    return _of_processes(subject, subject.job.spec.trainer.gpus_per_replica, _TRAINER_CPU)


def rollout(subject: Subject) -> dict[str, Any]:
    """Resources of the container of a worker and its engine."""
    return _of_processes(subject, subject.job.spec.rollout.gpus_per_replica, _ROLLOUT_CPU)


def buffer(subject: Subject) -> dict[str, Any]:
    """Resources of the buffer's container."""
    memory = subject.job.spec.buffer.memory
    wanted = memory or _BUFFER_MEMORY
    requests = {"cpu": "100m", "memory": canonical(wanted)}
    # Without a limit of its own the server takes a quarter of what it can have. With one, it needs
    # up to twice as much while it rewrites its append-only file.
    limits = {"cpu": "1", "memory": times(wanted, 2 if memory else 4)}
    return _on_cpu(subject, requests, limits)


def router(subject: Subject) -> dict[str, Any]:
    """Resources of the router's container."""
    requests = {"cpu": "100m", "memory": "128Mi"}
    return _on_cpu(subject, requests, {"cpu": "1", "memory": "512Mi"})


def _of_processes(subject: Subject, count: int, on_cpu: tuple[int, int]) -> dict[str, Any]:
    if subject.job.spec.device != "cpu":
        return {"requests": _times(count, _BESIDE_GPU), "limits": {_GPU: str(count)}}
    return {"requests": _times(count, on_cpu), "limits": _times(count, _CPU_LIMIT)}


def _times(count: int, one: tuple[int, int]) -> dict[str, str]:
    """Quantities written as the API server writes them: what it stores is what was applied."""
    millicores, mebibytes = one
    cores, rest = divmod(count * millicores, 1000)
    cpu = f"{count * millicores}m" if rest else str(cores)
    return {"cpu": cpu, "memory": canonical(f"{count * mebibytes}Mi")}


def _on_cpu(
    subject: Subject, requests: dict[str, str], limits: dict[str, str]
) -> dict[str, dict[str, str]]:
    on_cpu = subject.job.spec.device == "cpu"
    return {"requests": requests, **({"limits": limits} if on_cpu else {})}
