"""`rljob logs`: what the roles have said, in the order of time."""

import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from rljob.cli.log_file import Tail, log_files
from rljob.cli.run_directory import existing
from rljob.errors import UsageError
from rljob.plan.environment import ROLES

_LOOK_SECONDS = 0.3
_TIME_LENGTH = len("2026-11-23T06:00:01Z")


def logs(run_dir: Path, role: str | None, *, follow: bool) -> Iterator[str]:
    """Lines of all roles, or of one, of the last start.

    Raises:
        UsageError: there is no run in the directory, or no such role.
    """
    directory = existing(run_dir)
    if role is not None and role not in ROLES:
        raise UsageError(f"role: found {role!r}, allowed {', '.join(ROLES)}")
    attempt = directory.attempt()
    if attempt is None:
        raise UsageError(f"{run_dir}: found no start of this run (no run.json)")
    tails: dict[Path, Tail] = {}
    while True:
        running = follow and directory.in_use()
        for file in log_files(Path(attempt.logs)):
            if role in (None, file.role):
                tails.setdefault(file.path, Tail(file.path))
        yield from _in_time([list(tail.lines()) for tail in tails.values()])
        if not running:
            return
        time.sleep(_LOOK_SECONDS)


def _in_time(files: list[list[str]]) -> list[str]:
    """Lines of several files by their time; one without a time stays behind the one before it."""

    def timed(lines: list[str]) -> Iterator[tuple[str, str]]:
        last = ""
        for line in lines:
            if line[_TIME_LENGTH - 1 : _TIME_LENGTH + 1] == "Z " and line[4:5] == "-":
                last = line[:_TIME_LENGTH]
            yield last, line

    return [
        line for _, line in sorted(chain.from_iterable(map(timed, files)), key=lambda pair: pair[0])
    ]
