"""Weights in memory that the engines, on the same machine, share with the trainer."""

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
    """Engines that read buckets out of the trainer's memory, on the GPU or, on CPUs, the host's."""

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
            device: on which the weights are shared.
            ranks_per_engine: the engines' tensor-parallel size.
            timeout: seconds for a member to do its part of a call.
            is_live: asked for members that are waited for.
        """
        super().__init__(members, timeout=timeout, is_live=is_live)
        self._device = device
        self._ranks_per_engine = ranks_per_engine

    async def deliver(self, snapshot: Snapshot, *, flush_cache: bool) -> None:
        """Shares one bucket after the other; with the last one the version is complete."""
        await self.each(EngineControl.begin)
        async for bucket, is_last in snapshot.read():
            version = snapshot.version if is_last else None
            await self._send(bucket, version=version, flush_cache=is_last and flush_cache)
        await self.each(EngineControl.end)

    async def _send(self, bucket: Bucket, *, version: int | None, flush_cache: bool) -> None:
        """Returns once every member has loaded the bucket."""
        with _shared(bucket.data, self._device) as data:
            requests = [
                asyncio.create_task(
                    member.receive_shared(
                        # A payload is for one process: with it goes a reference to the memory.
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
                # When one has failed, others may not have looked yet, and an engine that does not
                # find the memory ends. At the latest each request's own time is up.
                await asyncio.gather(*requests, return_exceptions=True)


async def _wait_for(request: "asyncio.Task[None]") -> None:
    await asyncio.shield(request)


@contextlib.contextmanager
def _shared(data: UInt8[Tensor, "n"], device: torch.device) -> Iterator[UInt8[Tensor, "n"]]:
    """A copy of the data that other processes can open, until the end of the context."""
    if device.type == "cuda":
        try:
            yield data.to(device)
        finally:
            torch.cuda.ipc_collect()  # type: ignore[no-untyped-call]  # of failed ones, too
        return
    free = shutil.disk_usage(_SHARED_MEMORY).free
    if data.nbytes > free:  # else the process would die where it first writes beyond
        raise UsageError(
            f"spec.weights.bucketMebibytes: found a bucket of {data.nbytes} bytes, and {free} left "
            f"in {_SHARED_MEMORY}; allowed smaller buckets, or spec.weights.transport disk"
        )
    with _by_name():
        shared: Tensor = data.clone().share_memory_()  # type: ignore[no-untyped-call]
        storage = shared.untyped_storage()
        _, name, _ = storage._share_filename_cpu_()
    # Whoever closes it last would remove it, were it not for this reference. It is removed here:
    # that does not depend on what became of the others.
    storage._shared_incref()  # type: ignore[no-untyped-call]
    try:
        yield shared
    finally:
        (_SHARED_MEMORY / name.decode().lstrip("/")).unlink()


def _payload(bucket: Bucket, data: UInt8[Tensor, "n"]) -> str:
    """What SGLang's MultiprocessingSerializer makes of a bucket, in base64."""
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
    """Names a GPU by its UUID, as SGLang's patch of torch's reductions does and expects.

    The numbers of the GPUs are not the same in all processes. Not run so far: it takes GPUs.
    """

    def reducer_override(self, value: Any) -> Any:
        if not (isinstance(value, Tensor) and value.is_cuda):
            return NotImplemented
        rebuild, arguments = reduce_tensor(value)  # type: ignore[no-untyped-call]
        uuid = str(torch.cuda.get_device_properties(value.device).uuid)
        return rebuild, (*arguments[:_DEVICE], uuid, *arguments[_DEVICE + 1 :])


@contextlib.contextmanager
def _by_name() -> Iterator[None]:
    """Shared memory is handed over by its name, not as a descriptor, which engines refuse."""
    before = mp.get_sharing_strategy()  # type: ignore[no-untyped-call]
    mp.set_sharing_strategy("file_system")  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        mp.set_sharing_strategy(before)  # type: ignore[no-untyped-call]
