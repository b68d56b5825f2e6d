"""Incidents of a run: what went wrong, one line each, for people.

Every role may append to `incidents.jsonl` in the run directory. `rljob run` shows each line at
once, `rljob status` the last ones, the report all of them.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

FILE_NAME = "incidents.jsonl"

log = structlog.get_logger()


@dataclass(frozen=True)
class Incident:
    """Something that went wrong, or that the user should know.

    Args:
        time: unix seconds.
        event: a dotted name, as in the logs: `role.restarted`.
        message: a human-readable sentence.
    """

    time: float
    event: str
    message: str


class Incidents:
    """The incidents file of a run."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / FILE_NAME

    def add(self, event: str, message: str) -> None:
        """Append a line. If the disk is full the line is lost, which the log reports."""
        line = json.dumps(asdict(Incident(time.time(), event, message))) + "\n"
        try:
            # One write in append mode, so that lines of several roles do not mix.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            log.warning("incident.lost", incident=event, message=message, error=str(error))


def parse(line: str) -> Incident | None:
    """The incident of a line; None if the line is not one."""
    try:
        values = json.loads(line)
        return Incident(float(values["time"]), str(values["event"]), str(values["message"]))
    except (ValueError, TypeError, KeyError):
        return None


def read_incidents(run_dir: Path) -> list[Incident]:
    """All incidents of a run, in the order in which they were written."""
    try:
        lines = (run_dir / FILE_NAME).read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [incident for line in lines if (incident := parse(line)) is not None]
