"""Checkpoints: one directory each, which appears only when it is complete."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import structlog

from rljob.errors import UsageError
from rljob_trainer.checkpoints.checksums import DamageError, verify_checksums, write_checksums
from rljob_trainer.files.durable import sync, sync_tree

log = structlog.get_logger()

_STATE = "state.msgpack"
# Directories of the models that change.
POLICY = "megatron"
CRITIC = "critic"
REFERENCE = "reference"
_PARTIAL = ".partial"
_DAMAGED = ".damaged"


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: each trained model with its optimizer, and the conductor's state."""

    path: Path

    @property
    def rollout(self) -> int:
        """The number of batches trained on when it was made."""
        return int(self.path.name.removeprefix("step-"))

    @property
    def model(self) -> Path:
        """The policy's directory of megatron's dist_checkpointing."""
        return self.path / POLICY

    def state(self) -> dict[str, Any]:
        """What was packed with `pack`."""
        state: dict[str, Any] = msgpack.unpackb((self.path / _STATE).read_bytes())
        return state


def pack(state: dict[str, Any]) -> bytes:
    """Packs the conductor's state as it is now, for `Checkpoints.commit`."""
    packed: bytes = msgpack.packb(state)
    return packed


class Checkpoints:
    """The checkpoints of a run. `commit` renames a finished directory, so none is ever partial."""

    def __init__(self, directory: Path, keep_last: int, keep_every: int | None = None) -> None:
        """Keeps the last `keep_last`, and permanently those at multiples of `keep_every`."""
        self._directory = directory
        self._keep_last = keep_last
        self._keep_every = keep_every
        self.damaged: list[str] = []  # what `newest` has set aside, and why

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint; None if none was saved yet.

        A damaged one, e.g. after a disk error or an incomplete copy, is set aside as
        `step-000020.damaged`, and the one before it is tried.

        Raises:
            UsageError: there are checkpoints, but none is whole.
        """
        checkpoint, damages = newest_whole(self.all())
        for path, reason in damages.items():
            log.warning("checkpoint.damaged", path=str(path), reason=reason)
        if checkpoint is not None:
            for path in damages:
                path.rename(_emptied(path.with_name(path.name + _DAMAGED)))
            self.damaged = list(damages.values())
        elif damages:
            found = "; ".join(damages.values())
            raise UsageError(
                f"{self._directory}: no checkpoint is whole: {found}; restore one of them, or "
                "remove them to train from the beginning"
            )
        return checkpoint

    def all(self) -> list[Checkpoint]:
        """All committed checkpoints, including damaged ones, from the oldest to the newest."""
        if not self._directory.exists():
            return []
        complete = [
            path
            for path in self._directory.glob("step-*")
            if path.is_dir() and path.name.removeprefix("step-").isdecimal()
        ]
        return [Checkpoint(path) for path in sorted(complete)]

    def begin(self, rollout: int, models: Iterable[str]) -> Path:
        """Makes a directory for the checkpoint of `rollout`, with an empty one for each model.

        It counts once it is committed. What is left of saves that were cut short is removed: only
        one is in progress at a time.
        """
        for left in self._directory.glob(f"step-*{_PARTIAL}"):
            self.discard(left)
        partial = self._directory / f"step-{rollout:06d}{_PARTIAL}"
        for name in models:
            (partial / name).mkdir(parents=True)
        return partial

    def commit(self, partial: Path, state: bytes) -> None:
        """Adds the conductor's state, syncs everything to disk, then gives it its final name."""
        (partial / _STATE).write_bytes(state)
        write_checksums(partial)
        sync_tree(partial)
        final = partial.with_name(partial.name.removesuffix(_PARTIAL))
        partial.rename(_emptied(final))  # a run that was rewound may have left one
        sync(self._directory)
        for old in self.all()[: -self._keep_last]:
            if self._keep_every is None or old.rollout % self._keep_every:
                shutil.rmtree(old.path)

    def discard(self, partial: Path) -> None:
        """Removes what a failed save left behind."""
        shutil.rmtree(partial, ignore_errors=True)


def newest_whole(
    checkpoints: Sequence[Checkpoint],
) -> tuple[Checkpoint | None, dict[Path, str]]:
    """The newest whole checkpoint, and what is wrong with each newer one, by its directory.

    Args:
        checkpoints: from the oldest to the newest.
    """
    damages: dict[Path, str] = {}
    for checkpoint in reversed(checkpoints):
        try:
            verify_checksums(checkpoint.path)
        except DamageError as error:
            damages[checkpoint.path] = f"{checkpoint.path.name}: {error}"
        else:
            return checkpoint, damages
    return None, damages


def _emptied(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    return path
