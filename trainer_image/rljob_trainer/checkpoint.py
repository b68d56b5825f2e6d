"""Checkpoints: one directory each, there entirely or not at all."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import structlog

from rljob.errors import UsageError

log = structlog.get_logger()

_STATE = "state.msgpack"
_MODEL = "megatron"
_PARTIAL = ".partial"


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: the sharded model and optimizer, and the conductor's state."""

    path: Path

    @property
    def rollout(self) -> int:
        """Batches trained on when it was made."""
        return int(self.path.name.removeprefix("step-"))

    @property
    def model(self) -> Path:
        """Directory of megatron's dist_checkpointing."""
        return self.path / _MODEL

    def state(self) -> dict[str, Any]:
        """What `save` was given.

        Raises:
            UsageError: the file is missing or damaged.
        """
        path = self.path / _STATE
        try:
            state: dict[str, Any] = msgpack.unpackb(path.read_bytes())
        except (OSError, ValueError) as error:
            raise UsageError(
                f"checkpoint {path} cannot be read: {error}; remove the directory to resume from "
                "the one before"
            ) from error
        return state


class Checkpoints:
    """The checkpoints of a run. `save` writes beside them and renames, so none is ever half."""

    def __init__(self, directory: Path, keep_last: int) -> None:
        self._directory = directory
        self._keep_last = keep_last

    def latest(self) -> Checkpoint | None:
        """The newest complete one."""
        found = self._all()
        return found[-1] if found else None

    def begin(self, rollout: int) -> Path:
        """An empty directory for the checkpoint of `rollout`, not yet one of them."""
        partial = self._directory / f"step-{rollout:06d}{_PARTIAL}"
        shutil.rmtree(partial, ignore_errors=True)
        (partial / _MODEL).mkdir(parents=True)
        return partial

    def commit(self, partial: Path, state: dict[str, Any]) -> None:
        """Adds the conductor's state, makes all durable, and only then gives it its name."""
        (partial / _STATE).write_bytes(msgpack.packb(state))
        for path in [*partial.rglob("*"), partial]:
            _sync(path)
        final = partial.with_name(partial.name.removesuffix(_PARTIAL))
        shutil.rmtree(final, ignore_errors=True)  # of a run that was rewound to before it
        partial.rename(final)
        _sync(self._directory)
        for old in self._all()[: -self._keep_last]:
            shutil.rmtree(old.path)

    def discard(self, partial: Path) -> None:
        """Removes what a failed save left."""
        shutil.rmtree(partial, ignore_errors=True)

    def model_path(self, partial: Path) -> Path:
        """Where the model's part of an unfinished checkpoint goes."""
        return partial / _MODEL

    def _all(self) -> list[Checkpoint]:
        if not self._directory.exists():
            return []
        complete = [
            path
            for path in self._directory.glob("step-*")
            if path.is_dir() and not path.name.endswith(_PARTIAL)
        ]
        return [Checkpoint(path) for path in sorted(complete)]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
