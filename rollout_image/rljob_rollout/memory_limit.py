"""Limits the memory of a process that runs the user's code."""

import resource
from pathlib import Path

OUT_OF_MEMORY = 99  # exit code of a process that has reached its limit


def limit_memory(limit: int) -> None:
    """Limits this process to `limit` bytes of private writable memory.

    Data, not address space: libraries for GPUs reserve far more of that than they use.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def data_bytes() -> int:
    """Private writable memory of this process, as the limit counts it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("unreachable: Linux reports it for every process")
