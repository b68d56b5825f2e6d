"""`rljob logs`: the logs of the roles, the engines and the router, in order of time."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from rljob.cli.level import Level, reaches
from rljob.cli.log_file import Tail, log_files
from rljob.cli.run_directory import existing
from rljob.errors import UsageError
from rljob.plan.environment import ROLES

ENGINE = "engine"
_LOOK_SECONDS = 0.3
# A role's: "2026-11-23T06:00:01Z trainer[0] info name"; SGLang's: "[2026-11-23 06:00:01] text".
_TIME = re.compile(r"\[?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?Z?\b")
_LEVEL = re.compile(r"\S+ \S+\s+(trace|debug|info|warn|warning|error|critical)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Line:
    """A line of a log.

    Args:
        source: `trainer[0]`, `engine[1]`.
        time: as in the log; a line without one has that of the line before.
        level: likewise; empty if the log has no levels.
        text: the whole line.
    """

    source: str
    time: str
    level: str
    text: str

    @property
    def shown(self) -> str:
        """The line for people; engine lines get their source in front, which they do not name."""
        return f"{self.source} {self.text}" if self.source.startswith(ENGINE) else self.text


def logs(
    run_dir: Path, role: str | None, *, follow: bool, tail: int | None, level: Level | None
) -> Iterator[Line]:
    """Lines of all roles or of one role from the last start, or of the engines from all starts.

    Args:
        run_dir: the run directory.
        role: one role only, or `engine`: the output of SGLang.
        follow: keep reading until the run ends.
        tail: number of last lines to begin with; None: all.
        level: the lowest level that is shown.

    Raises:
        UsageError: there is no run in the directory, no such role, or no levels.
    """
    directory = existing(run_dir)
    allowed = (*ROLES, ENGINE)
    if role is not None and role not in allowed:
        raise UsageError(f"role: found {role!r}, allowed {', '.join(allowed)}")
    if role == ENGINE and level is not None:
        raise UsageError("--level: the lines of SGLang have no level; leave it out")
    attempt = directory.attempt()
    # On the volume of a job in a cluster the trainer's logs are here.
    starts = Path(attempt.logs) if attempt is not None else directory.path / "logs"
    if attempt is None and not list(_files(directory.path, starts, role)):
        raise UsageError(
            f"{run_dir}: found no start of this run (no run.json), allowed a directory of "
            "`rljob run`; of a job in a cluster: kubectl logs -l rljob.dev/job=JOB"
        )
    readers: dict[Path, _Reader] = {}
    first = True
    while True:
        running = follow and directory.in_use()
        for source, path in _files(directory.path, starts, role):
            readers.setdefault(path, _Reader(source, path))
        new = sorted(
            chain.from_iterable(reader.lines() for reader in readers.values()),
            key=lambda line: line.time,
        )
        if level is not None:
            new = [line for line in new if reaches(line.level, level)]
        yield from new[-tail:] if first and tail else new
        if not running:
            return
        first = False
        time.sleep(_LOOK_SECONDS)


def _files(run_dir: Path, logs: Path, role: str | None) -> Iterator[tuple[str, Path]]:
    """The source of each log file, and its path."""
    if role == ENGINE:
        for path in sorted((run_dir / "logs").glob("engine-*.log")):
            yield f"engine[{path.stem.removeprefix('engine-')}]", path
        return
    for file in log_files(logs):
        if role in (None, file.role):
            yield f"{file.role}[{file.replica}]", file.path
    if role == "router":
        # The output of sglang-router itself.
        yield "router", run_dir / "logs" / "router.log"


class _Reader:
    """The lines of one file; a line without time and level has those of the line before."""

    def __init__(self, source: str, path: Path) -> None:
        self._source = source
        self._tail = Tail(path)
        self._time = ""
        self._level = ""

    def lines(self) -> Iterator[Line]:
        for text in self._tail.lines():
            if stamp := _TIME.match(text):
                self._time = f"{stamp[1]}T{stamp[2]}Z"
                level = _LEVEL.match(text)
                self._level = level[1].lower() if level else ""
            yield Line(self._source, self._time, self._level, text)
