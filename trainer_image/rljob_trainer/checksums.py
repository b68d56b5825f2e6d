"""Checksums of a directory's files, beside them: what was torn or half copied is told apart."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FILE = "checksums.json"

_THREADS = 8  # hashlib lets go of the GIL, so large checkpoints are read in parallel


class DamageError(Exception):
    """A directory is not as it was when its checksums were written; names the first difference."""


def write_checksums(directory: Path) -> None:
    """Notes size and SHA-256 of every file below the directory."""
    (directory / FILE).write_text(json.dumps(_measure(directory), indent=1) + "\n")


def verify_checksums(directory: Path) -> None:
    """Compares every file with what was noted.

    Raises:
        DamageError: a file is missing, cut, changed, or not one of them.
    """
    try:
        noted = json.loads((directory / FILE).read_text())
    except (OSError, ValueError) as error:
        raise DamageError(f"{FILE}: {error}") from error
    found = _measure(directory)
    for name, wanted in noted.items():
        there = found.get(name)
        if there is None:
            raise DamageError(f"{name} is missing")
        if there["bytes"] != wanted["bytes"]:
            raise DamageError(f"{name} has {there['bytes']} bytes, not {wanted['bytes']}")
        if there["sha256"] != wanted["sha256"]:
            raise DamageError(f"{name} was changed")
    if foreign := found.keys() - noted.keys():
        raise DamageError(f"{min(foreign)} is not part of it")


def _measure(directory: Path) -> dict[str, dict[str, int | str]]:
    """Size and hash of each file, by its path."""
    files = [path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != FILE]
    with ThreadPoolExecutor(_THREADS) as threads:
        hashes = list(threads.map(_hash, files))
    return {
        path.relative_to(directory).as_posix(): {"bytes": path.stat().st_size, "sha256": digest}
        for path, digest in zip(files, hashes, strict=True)
    }


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
