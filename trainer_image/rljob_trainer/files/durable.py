"""Syncs files to disk, so that they survive a crash of the machine."""

import os
from pathlib import Path


def sync_tree(directory: Path) -> None:
    """Returns once everything in the directory, and its entry for each file, is on disk."""
    for path in [*directory.rglob("*"), directory]:
        sync(path)


def sync(path: Path) -> None:
    """Syncs one file, or the entries of one directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
