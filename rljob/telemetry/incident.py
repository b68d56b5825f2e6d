"""What goes wrong in a run, one line each, where people look for it.

Every role may add to `incidents.jsonl` of the run directory. `rljob run` shows each line as it
comes, `rljob status` the last ones, the report all of them.
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
    """One thing that went wrong, or that a person should know of.

    Args:
        time: unix seconds.
        event: a dotted name, as in the logs: `role.restarted`.
        message: a sentence for a person.
    """

    time: float
    event: str
    message: str


class Incidents:
    """The file of a run."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / FILE_NAME

    def add(self, event: str, message: str) -> None:
        """Adds a line. Where the disk is full it is lost, and the log says so."""
        line = json.dumps(asdict(Incident(time.time(), event, message))) + "\n"
        try:
            # One write to a file opened for appending: lines of several roles do not mix.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            log.warning("incident.lost", incident=event, message=message, error=str(error))


def parse(line: str) -> Incident | None:
    """The incident of a line; None where it is none."""
    try:
        values = json.loads(line)
        return Incident(float(values["time"]), str(values["event"]), str(values["message"]))
    except (ValueError, TypeError, KeyError):
        return None


def read_incidents(run_dir: Path) -> list[Incident]:
    """All of a run, in the order in which they were written."""
    try:
        lines = (run_dir / FILE_NAME).read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [incident for line in lines if (incident := parse(line)) is not None]
