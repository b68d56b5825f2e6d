"""How much memory the embedded server may use."""

import os
from pathlib import Path

# The trainer and the engines may be on the same machine, and the server needs more than its data:
# up to twice as much while it rewrites its file.
_SHARE = 4


def default_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """A quarter of what this process may have of the machine's memory, in bytes."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits(proc, cgroups)]) // _SHARE


def _limits(proc: Path, cgroups: Path) -> list[int]:
    """Limits of this process's cgroup and of those around it."""
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
        # In a container the path is the host's, and only the root is to be seen.
        for folder in (group, *group.parents):
            file = root / folder / name
            text = file.read_text().strip() if file.is_file() else ""
            if text.isdigit():  # else none, or "max"
                found.append(int(text))
    return found
