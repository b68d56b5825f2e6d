"""Shares weights in memory with engines on the same machine."""

import asyncio
import base64
import contextlib
import io
import shutil
from collections.abc import Iterator, Sequence
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.multiprocessing as mp
from jaxtyping import UInt8
from torch import Tensor
from torch.multiprocessing.reductions import reduce_tensor

from rljob.errors import UsageError
from rljob_trainer.weights.bucket import Bucket
from rljob_trainer.weights.calls import Liveness
from rljob_trainer.weights.engine import EngineControl, EngineFailedError
from rljob_trainer.weights.engine_group import EngineGroup
from rljob_trainer.weights.snapshot import Snapshot

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux has it
_DEVICE = 6  # position of the device in the arguments of torch's rebuild_cuda_tensor


class IpcGroup(EngineGroup):
    """Engines that read buckets from the trainer's memory: the GPU's or, on CPUs, the host's."""

    def __init__(
        self,
        members: Sequence[EngineControl],
        *,
        device: torch.device,
        ranks_per_engine: int,
        timeout: float,
        is_live: Liveness,
    ) -> None:
        """
        Args:
            members: the engines.
            device: the device on which weights are shared.
            ranks_per_engine: the engines' tensor-parallel size.
            timeout: seconds that a member may take for its part of a call.
            is_live: asked about members that have not answered.
        """
        super().__init__(members, timeout=timeout, is_live=is_live)
        self._device = device
        self._ranks_per_engine = ranks_per_engine

    async def deliver(self, snapshot: Snapshot, *, flush_cache: bool) -> None:
        """Shares one bucket after another; the last one completes the version."""
        await self.each(EngineControl.begin)
        async for bucket, is_last in snapshot.read():
            version = snapshot.version if is_last else None
            await self._send(bucket, version=version, flush_cache=is_last and flush_cache)
        await self.each(EngineControl.end)

    async def _send(self, bucket: Bucket, *, version: int | None, flush_cache: bool) -> None:
        """Shares a bucket; returns once every member has loaded it."""
        with _shared(bucket.data, self._device) as data:
            requests = [
                asyncio.create_task(
                    member.receive_shared(
                        # A payload holds a reference to the memory, so each process needs its own.
                        [_payload(bucket, data) for _ in range(self._ranks_per_engine)],
                        version=version,
                        flush_cache=flush_cache,
                    )
                )
                for member in self.members
            ]
            replies = {
                asyncio.create_task(_wait_for(request)): engine
                for request, engine in zip(requests, self.engines, strict=True)
            }
            try:
                await self._together(replies, asyncio.sleep(0))
            except EngineFailedError as error:
                requests[self.engines.index(error.engine)].cancel()
                raise
            finally:
                # When one has failed, others may not have opened the memory yet, and an engine that
                # does not find it dies. So wait for all; each request has its own timeout.
                await asyncio.gather(*requests, return_exceptions=True)


async def _wait_for(request: "asyncio.Task[None]") -> None:
    await asyncio.shield(request)


@contextlib.contextmanager
def _shared(data: UInt8[Tensor, "n"], device: torch.device) -> Iterator[UInt8[Tensor, "n"]]:
    """A copy of the data that other processes can open until the context ends."""
    if device.type == "cuda":
        try:
            yield data.to(device)
        finally:
            torch.cuda.ipc_collect()  # type: ignore[no-untyped-call]  # also after failures
        return
    free = shutil.disk_usage(_SHARED_MEMORY).free
    if data.nbytes > free:  # otherwise the process would die at the first write that does not fit
        raise UsageError(
            f"spec.weights.bucketMebibytes: found a bucket of {data.nbytes} bytes, and {free} left "
            f"in {_SHARED_MEMORY}; allowed smaller buckets, or spec.weights.transport disk"
        )
    with _by_name():
        shared: Tensor = data.clone().share_memory_()  # type: ignore[no-untyped-call]
        storage = shared.untyped_storage()
        _, name, _ = storage._share_filename_cpu_()
    # Without this reference, the last process to close the memory would remove it. It is removed
    # here instead, whatever has happened to the others.
    storage._shared_incref()  # type: ignore[no-untyped-call]
    try:
        yield shared
    finally:
        (_SHARED_MEMORY / name.decode().lstrip("/")).unlink()


def _payload(bucket: Bucket, data: UInt8[Tensor, "n"]) -> str:
    """Encodes a bucket as SGLang's MultiprocessingSerializer does, in base64."""
    metadata = []
    begin = 0
    for name, tensor in zip(bucket.names, bucket.tensors(), strict=True):
        end = begin + tensor.nbytes
        # Has the fields of SGLang's FlattenedTensorMetadata, which the trainer does not know.
        metadata.append(
            SimpleNamespace(
                name=name,
                shape=tensor.shape,
                dtype=tensor.dtype,
                start_idx=begin,
                end_idx=end,
                numel=end - begin,
            )
        )
        begin = end
    buffer = io.BytesIO()
    with _by_name():
        _Pickler(buffer).dump({"flattened_tensor": data, "metadata": metadata})
    return base64.b64encode(buffer.getvalue()).decode()


class _Pickler(ForkingPickler):
    """Identifies a GPU by its UUID, as SGLang's patch of torch's reductions does and expects.

    GPU numbers differ between processes. This has not been run so far: it needs GPUs.
    """

    def reducer_override(self, value: Any) -> Any:
        if not (isinstance(value, Tensor) and value.is_cuda):
            return NotImplemented
        rebuild, arguments = reduce_tensor(value)  # type: ignore[no-untyped-call]
        uuid = str(torch.cuda.get_device_properties(value.device).uuid)
        return rebuild, (*arguments[:_DEVICE], uuid, *arguments[_DEVICE + 1 :])


@contextlib.contextmanager
def _by_name() -> Iterator[None]:
    """Passes shared memory by name; engines refuse file descriptors."""
    before = mp.get_sharing_strategy()  # type: ignore[no-untyped-call]
    mp.set_sharing_strategy("file_system")  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        mp.set_sharing_strategy(before)  # type: ignore[no-untyped-call]
