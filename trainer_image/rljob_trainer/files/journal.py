"""An append-only JSON Lines file with offsets that a checkpoint can store."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rljob.errors import UsageError


class Journal:
    """One record per line. A checkpoint stores `offset`; `rewind` drops everything after it.

    A run that resumes from a checkpoint discards what happened after it, so its files must not
    record that either.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("ab")

    @property
    def offset(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def append(self, record: Mapping[str, Any]) -> None:
        """Writes one record and flushes it to the operating system."""
        self._file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def sync(self) -> int:
        """Makes what was written durable and returns the offset."""
        os.fsync(self._file.fileno())
        return self.offset

    def rewind(self, offset: int) -> None:
        """Cuts the file back to `offset` bytes.

        Raises:
            UsageError: the file is shorter than that.
        """
        size = self._path.stat().st_size
        if size < offset:
            raise UsageError(
                f"{self._path} has {size} bytes, but the checkpoint was saved when it had "
                f"{offset}: it was cut or replaced; restore it, or start in another run directory"
            )
        self._file.truncate(offset)
        self._file.seek(offset)
