"""Checksums of a directory's files, stored beside them to detect missing or changed files."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

FILE = "checksums.json"

_THREADS = 8  # hashlib releases the GIL, so large checkpoints are read in parallel


class _Measure(BaseModel):
    bytes: int
    sha256: str


_NOTED = TypeAdapter(dict[str, _Measure])


class DamageError(Exception):
    """A directory has changed since its checksums were written; names the first difference."""


def write_checksums(directory: Path) -> None:
    """Records size and SHA-256 of every file below the directory."""
    (directory / FILE).write_bytes(_NOTED.dump_json(_measure(directory), indent=1) + b"\n")


def verify_checksums(directory: Path) -> None:
    """Compares every file with its recorded size and hash.

    Raises:
        DamageError: a file is missing, truncated, changed, or was added.
    """
    try:
        noted = _NOTED.validate_json((directory / FILE).read_bytes())
        found = _measure(directory)
    except OSError as error:
        raise DamageError(str(error)) from error
    except ValueError as error:  # this file may be the damaged one
        raise DamageError(f"{FILE}: {error}") from error
    for name, wanted in noted.items():
        there = found.get(name)
        if there is None:
            raise DamageError(f"{name} is missing")
        if there.bytes != wanted.bytes:
            raise DamageError(f"{name} has {there.bytes} bytes, not {wanted.bytes}")
        if there.sha256 != wanted.sha256:
            raise DamageError(f"{name} was changed")
    if foreign := found.keys() - noted.keys():
        raise DamageError(f"{min(foreign)} is not part of it")


def _measure(directory: Path) -> dict[str, _Measure]:
    """Size and hash of each file, by its path."""
    files = [path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != FILE]
    with ThreadPoolExecutor(_THREADS) as threads:
        hashes = list(threads.map(_hash, files))
    return {
        path.relative_to(directory).as_posix(): _Measure(bytes=path.stat().st_size, sha256=digest)
        for path, digest in zip(files, hashes, strict=True)
    }


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
