"""Runs a command that must succeed."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_SECONDS = 600
_LAST_CHARACTERS = 3000


def run(*command: str | Path, stdin: Path | None = None) -> str:
    """What it prints; RuntimeError with its last lines if it fails."""
    with (stdin or Path("/dev/null")).open("rb") as source:
        result = subprocess.run(
            command, stdin=source, capture_output=True, timeout=_SECONDS, check=False
        )
    if result.returncode != 0:
        raise RuntimeError(_told(command, result))
    return result.stdout.decode(errors="replace")


def rljob(*arguments: str | Path) -> str:
    """What the command line prints."""
    return run(Path(sys.executable).with_name("rljob"), *arguments)


def _told(command: Sequence[str | Path], result: subprocess.CompletedProcess[bytes]) -> str:
    said = (result.stderr or result.stdout).decode(errors="replace")[-_LAST_CHARACTERS:]
    return f"{' '.join(map(str, command))} ended with {result.returncode}:\n{said}"
