"""The run that a job's keys belong to: two jobs with the same name may use one server."""

import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

_FILE = "identity"


@dataclass(frozen=True)
class Owner:
    """The identity of a run in the buffer.

    Args:
        id: unique to the run, and the same at every start.
        place: where the run runs, for people.
    """

    id: str
    place: str


UNNAMED = Owner("", "")


def owner_of(run_dir: Path) -> Owner:
    """The owner for a run directory, which stores the identity.

    A copy of the directory is another run: the path is part of the identity.
    """
    path = run_dir / _FILE
    if not path.exists():
        partial = path.with_suffix(".partial")
        partial.write_text(f"{secrets.token_hex(8)}\n")
        partial.rename(path)
    where = run_dir.resolve()
    return Owner(f"{path.read_text().strip()} {where}", f"{where} on {socket.gethostname()}")
