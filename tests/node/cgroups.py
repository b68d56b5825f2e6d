"""The cgroup of each node, below which its kubelet makes those of its pods."""

import contextlib
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PREFIX = "rljob-test-"
_SHARES = "3072"  # CPU time on a busy machine; the control plane, outside of it, needs some, too


def make(node: str) -> str:
    """Makes the node's cgroup in every hierarchy; returns its name for the kubelet."""
    name = f"{_PREFIX}{node}"
    if _is_unified():
        _delegate(_ROOT)
        (_ROOT / name).mkdir(exist_ok=True)
        _delegate(_ROOT / name)
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)
    for file in ("cpuset/{}/cpuset.cpus", "cpuset/{}/cpuset.mems"):
        if (_ROOT / file.format(".")).exists():
            (_ROOT / file.format(name)).write_text((_ROOT / file.format(".")).read_text())
    shares = _ROOT / "cpu" / name / "cpu.shares"
    if shares.exists():
        shares.write_text(_SHARES)
    return f"/{name}"


def remove() -> None:
    """Removes those of all nodes; one that still holds a process stays."""
    for hierarchy in [_ROOT] if _is_unified() else _hierarchies():
        for top in hierarchy.glob(f"{_PREFIX}*"):
            for path in [*sorted(top.rglob("*/"), reverse=True), top]:
                with contextlib.suppress(OSError):
                    path.rmdir()


def _is_unified() -> bool:
    return (_ROOT / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    """Of version 1."""
    return [] if _is_unified() else [path for path in _ROOT.iterdir() if path.is_mount()]


def _delegate(directory: Path) -> None:
    wanted = (directory / "cgroup.controllers").read_text().split()
    (directory / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in wanted))
