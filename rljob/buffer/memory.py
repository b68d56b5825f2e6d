"""The default memory limit of the embedded server."""

import os
from pathlib import Path

# The trainer and the engines may share the machine, and the server needs up to twice the memory of
# its data while it rewrites its append-only file.
_SHARE = 4


def default_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """A quarter of the memory that is available to this process, in bytes."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits(proc, cgroups)]) // _SHARE


def _limits(proc: Path, cgroups: Path) -> list[int]:
    """Memory limits of this process's cgroup and its parents."""
    found = []
    for line in (proc / "self" / "cgroup").read_text().split():
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            root, name = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = Path(path.lstrip("/"))
        # In a container the path is that on the host, and only the root is visible.
        for folder in (group, *group.parents):
            file = root / folder / name
            text = file.read_text().strip() if file.is_file() else ""
            if text.isdigit():  # else none, or "max"
                found.append(int(text))
    return found
