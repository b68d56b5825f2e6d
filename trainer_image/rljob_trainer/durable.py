"""What has been written, made to outlast a machine that goes down."""

import os
from pathlib import Path


def sync_tree(directory: Path) -> None:
    """Returns once everything in the directory is on the disk, and that it is there."""
    for path in [*directory.rglob("*"), directory]:
        sync(path)


def sync(path: Path) -> None:
    """The same of one file, or of the names in one directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
