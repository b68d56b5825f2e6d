"""The process group through which weights flow: the trainer as rank 0, engines as 1, 2, ..."""

import asyncio
import contextlib
import socket
import threading
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, TCPStore
from torch.distributed import ProcessGroup, Work
from torch.distributed.distributed_c10d import (
    Backend,
    GroupName,
    _new_process_group_helper,
    _world,
)

from rljob import thread
from rljob_trainer.weights.bucket import Bucket
from rljob_trainer.weights.calls import Liveness
from rljob_trainer.weights.engine import EngineControl, EngineFailedError
from rljob_trainer.weights.engine_group import EngineGroup
from rljob_trainer.weights.snapshot import Snapshot

_LOOK_SECONDS = 0.002


class BroadcastGroup(EngineGroup):
    """One process group of the trainer and its engines, through which buckets are broadcast.

    It is separate from the trainer's own group, so that engines can come and go without the
    trainer's ranks noticing.
    """

    def __init__(
        self,
        members: Sequence[EngineControl],
        *,
        host: str,
        device: torch.device,
        ranks_per_engine: int,
        timeout: float,
        is_live: Liveness,
    ) -> None:
        """
        Args:
            members: the engines.
            host: the address at which engines reach this process.
            device: the device from which weights are sent.
            ranks_per_engine: the engines' tensor-parallel size.
            timeout: seconds that a member may take for its part of a call.
            is_live: asked about members that have not answered.
        """
        super().__init__(members, timeout=timeout, is_live=is_live)
        self._name = f"rljob-{uuid.uuid4().hex[:12]}"
        self._host = host
        self._device = device
        self._backend = "nccl" if device.type == "cuda" else "gloo"
        self._ranks_per_engine = ranks_per_engine
        self._world_size = 1 + ranks_per_engine * len(self.members)
        self._group: ProcessGroup | None = None

    async def meet(self) -> None:
        """Waits until all members are in the process group, at most until the timeout."""
        # Check liveness first, so that a dead engine never leaves the others waiting in the
        # rendezvous.
        await super().meet()
        port = _free_port(self._host)
        # Create the store before calling the members: without a store a member would wait for half
        # an hour and generate nothing. Closing the store releases those that wait in it.
        store = TCPStore(
            self._host,
            port,
            self._world_size,
            True,
            timedelta(seconds=self._timeout),
            wait_for_workers=False,
        )
        joins = {
            asyncio.create_task(
                member.join(
                    self._host,
                    port,
                    rank=1 + number * self._ranks_per_engine,
                    world_size=self._world_size,
                    group=self._name,
                    backend=self._backend,
                )
            ): member.engine
            for number, member in enumerate(self.members)
        }
        self._group = await self._together(joins, self._enter(store, list(joins)))

    async def deliver(self, snapshot: Snapshot, *, flush_cache: bool) -> None:
        """Broadcasts every bucket; the last one completes the version."""
        await self.each(lambda member: member.begin())
        async for bucket, is_last in snapshot.read():
            version = snapshot.version if is_last else None
            await self._send(bucket, version=version, flush_cache=is_last and flush_cache)
        await self.each(lambda member: member.end())

    async def close(self) -> None:
        """Leaves the process group, and has the members that still answer leave it."""
        group, self._group = self._group, None
        departures = [asyncio.create_task(member.leave(self._name)) for member in self.members]
        if group is not None:
            if self._backend == "nccl":
                group._get_backend(self._device).abort()
            dist.destroy_process_group(group)
            # Gloo cannot abort: if a broadcast hangs, dropping the last reference to the group
            # blocks until the timeout.
            held = [group]
            del group
            threading.Thread(target=held.clear, name="group-end", daemon=True).start()
        for departure, engine in zip(departures, self.engines, strict=True):
            with contextlib.suppress(EngineFailedError):
                await self._together({departure: engine}, asyncio.sleep(0))
        await super().close()

    async def _send(self, bucket: Bucket, *, version: int | None, flush_cache: bool) -> None:
        """Sends a bucket; returns once every member has loaded it."""
        assert self._group is not None, "the group has not met"
        data = bucket.data.to(self._device)
        replies = {
            asyncio.create_task(
                member.receive(bucket, self._name, version=version, flush_cache=flush_cache)
            ): member.engine
            for member in self.members
        }
        work = dist.broadcast(data, src=0, group=self._group, async_op=True)
        assert work is not None
        await self._together(replies, _completed(work))

    async def _enter(self, store: TCPStore, joins: Sequence["asyncio.Task[None]"]) -> ProcessGroup:
        """Enters the group once all members wait at the store, or have answered as NCCL's do."""
        while not all(join.done() for join in joins):
            waiting = sum(self._name in key for key in store.list_keys())
            if waiting >= self._world_size - 1:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        # Only now: this call cannot be interrupted.
        return await thread.start(lambda: self._create(store), "meet")

    def _create(self, store: TCPStore) -> ProcessGroup:
        # torch has no public way to be in a second world of processes; SGLang creates its end of
        # this group with the same function.
        group, _ = _new_process_group_helper(
            self._world_size,
            0,
            [],
            Backend(self._backend),
            PrefixStore(self._name, store),
            group_name=GroupName(self._name),
            timeout=timedelta(seconds=self._timeout),
        )
        assert isinstance(group, ProcessGroup)
        _world.pg_group_ranks[group] = {rank: rank for rank in range(self._world_size)}
        return group


async def _completed(work: Work) -> None:
    began = time.monotonic()
    while not work.is_completed():
        # Rarely enough to leave the processor to others, often enough to lose little time.
        await asyncio.sleep(max(_LOOK_SECONDS / 4, (time.monotonic() - began) / 50))
    work.wait()


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
