"""The log files of a run's roles, as torchx's local scheduler lays them out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LONGEST_TAIL = 256 * 1024  # bytes at the end of a file that are searched for its last lines


@dataclass(frozen=True)
class LogFile:
    """The log of one stream of one replica."""

    role: str
    replica: str  # its number, or the name of its pod
    path: Path


def log_files(logs: Path) -> list[LogFile]:
    """All files under one start's directory: <app>/<role>/<replica>/std{out,err}.log.

    A role's process sends everything to stdout once it runs; earlier errors (Python did not start,
    a module was not found) are on stderr.
    """
    return [
        LogFile(path.parent.parent.name, path.parent.name, path)
        for name in ("stderr", "stdout")
        for path in sorted(logs.glob(f"*/*/*/{name}.log"))
    ]


def last_lines(logs: Path, role: str, replica: int, count: int) -> list[str]:
    """The last `count` lines of a replica, from both streams."""
    lines = [
        line
        for file in log_files(logs)
        if (file.role, file.replica) == (role, str(replica))
        for line in _tail(file.path).splitlines()[-count:]
    ]
    return lines[-count:]


class Tail:
    """Reads the lines that are appended to a growing file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def lines(self) -> Iterator[str]:
        """The lines completed since the last call; all lines again if the file was truncated."""
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        return
                    self._offset += len(line)
                    yield line.decode(errors="replace").rstrip("\r\n")
        except FileNotFoundError:
            return


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LONGEST_TAIL))
        return file.read().decode(errors="replace")
