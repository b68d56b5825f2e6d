"""Versions of the weights on a disk that trainer and engines share."""

import asyncio
import shutil
import time
import uuid
import weakref
from functools import partial
from pathlib import Path

import structlog
import torch
from safetensors.torch import save

from rljob import thread
from rljob.weights.delta import encode
from rljob.weights.version import Version, WeightFile, delta_of
from rljob_trainer.files.durable import sync, sync_tree
from rljob_trainer.models.checkpoint import copy_companions, write_index
from rljob_trainer.weights.bucket import Bucket
from rljob_trainer.weights.snapshot import Snapshot

log = structlog.get_logger()


class VersionStore:
    """Writes each version once; keeps the last one, and those that are being read.

    A directory gets its name once it is complete and synced. The name is unique to this write: a
    trainer that resumes from a checkpoint writes different weights under the same version.
    """

    def __init__(self, directory: Path, *, companions: Path, full_interval: int) -> None:
        """Makes the directory, and removes what an earlier trainer has left in it.

        Args:
            directory: for the versions, and nothing else.
            companions: a checkpoint whose config and tokenizer files go into full versions.
            full_interval: one version in this many is full; the others are deltas.
        """
        self._directory = directory
        self._companions = companions
        self._full_interval = full_interval
        self._lock = asyncio.Lock()
        self._places: weakref.WeakKeyDictionary[Snapshot, Path] = weakref.WeakKeyDictionary()
        self._chain: list[Path] = []  # the last full version and the deltas since
        self._last: Snapshot | None = None  # the chain's last version; None: no delta will follow
        self._readers: dict[object, list[Path]] = {}
        self.bytes_written = 0  # of weights, for the last version
        # The directory itself stays: containers may have mounted it.
        directory.mkdir(parents=True, exist_ok=True)
        self.close()

    async def write(self, snapshot: Snapshot, reader: object) -> Path:
        """The directory of a version, which is written unless it exists.

        Args:
            snapshot: the version; it may still be being gathered.
            reader: the version is kept for it until its `release`, or its next call.

        Raises:
            OSError: writing fails, e.g. because the disk is full.
        """
        async with self._lock:
            if snapshot not in self._places:
                full = self._last is None or len(self._chain) >= self._full_interval
                await self._write(snapshot, full=full)
            return self._hand(snapshot, reader)

    async def rewrite(self, snapshot: Snapshot, reader: object) -> Path:
        """Writes a damaged version again: in another directory, and in full."""
        async with self._lock:
            await self._write(snapshot, full=True)
            return self._hand(snapshot, reader)

    def release(self, reader: object) -> None:
        """Keeps nothing for this reader any more."""
        self._readers.pop(reader, None)

    def close(self) -> None:
        """Removes all versions."""
        self._remove_all_but(set())

    def _hand(self, snapshot: Snapshot, reader: object) -> Path:
        place = self._places[snapshot]
        # A delta is read together with everything that it builds on.
        self._readers[reader] = list(self._chain) if place in self._chain else [place]
        return place

    async def _write(self, snapshot: Snapshot, *, full: bool) -> None:
        began = time.monotonic()
        await self._prune()
        name = f"{snapshot.version:06d}-{uuid.uuid4().hex[:8]}"
        place, unfinished = self._directory / name, self._directory / f".{name}"
        unfinished.mkdir()
        base: list[Bucket] = []
        if not full and self._last is not None:
            base = [bucket async for bucket, _ in self._last.read()]
        files: dict[str, WeightFile] = {}
        tensors: dict[str, str] = {}
        written = 0
        async for bucket, _ in snapshot.read():
            file = f"model-{len(files) + 1:05d}.safetensors"
            before = base[len(files)] if base else None
            write = partial(_write_bucket, unfinished / file, bucket, before)
            files[file], size = await thread.start(write, "weights")
            tensors |= dict.fromkeys(bucket.names, file)
            written += size
        version = Version(base=self._chain[-1].name if base else None, files=files)

        def finish() -> None:
            if version.base is None:
                copy_companions(self._companions, unfinished)
                write_index(unfinished, tensors, snapshot.nbytes)
            version.write(unfinished)
            sync_tree(unfinished)
            unfinished.rename(place)
            sync(self._directory)

        await thread.start(finish, "weights")
        self._chain = [*self._chain, place] if base else [place]
        self._last = snapshot if self._full_interval > 1 else None
        self._places[snapshot] = place
        self.bytes_written = written
        log.info(
            "weights.written",
            version=snapshot.version,
            form="delta" if base else "full",
            bytes=written,
            full_bytes=sum(file.size for file in files.values()),
            seconds=round(time.monotonic() - began, 3),
        )

    async def _prune(self) -> None:
        """Removes all versions except the last and those that are being read."""
        needed = {path for paths in (self._chain, *self._readers.values()) for path in paths}
        for snapshot, place in list(self._places.items()):
            if place not in needed:
                del self._places[snapshot]
        await thread.start(lambda: self._remove_all_but(needed), "weights")

    def _remove_all_but(self, needed: set[Path]) -> None:
        for path in self._directory.iterdir():
            if path not in needed:
                # What can't be removed, such as open files on NFS, is removed the next time.
                shutil.rmtree(path, ignore_errors=True)


def _write_bucket(file: Path, bucket: Bucket, before: Bucket | None) -> tuple[WeightFile, int]:
    """Writes a bucket, or its changes; returns what the file is, and the bytes written."""
    content = _serialized(bucket)
    word: int = getattr(torch, bucket.dtypes[0]).itemsize
    target, data = file, content
    if before is not None:
        target, data = delta_of(file), encode(_serialized(before), content, word)
    target.write_bytes(data)
    return WeightFile.of(content, word), len(data)


def _serialized(bucket: Bucket) -> bytes:
    """The bucket as a safetensors file; the same names and shapes make the same header."""
    tensors = dict(zip(bucket.names, bucket.tensors(), strict=True))
    content: bytes = save(tensors, metadata={"format": "pt"})
    return content
