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

    A group of its own, apart from the trainer's: engines come and go without the trainer's ranks
    noticing.
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
            host: address of this process for them.
            device: on which the weights are sent.
            ranks_per_engine: the engines' tensor-parallel size.
            timeout: seconds for a member to do its part of a call.
            is_live: called for members that are waited for.
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
        """Returns once all members are in the process group; at the latest after the timeout."""
        # Check liveness first, so that a dead engine never leaves the others waiting in the
        # rendezvous.
        await super().meet()
        port = _free_port(self._host)
        # The store exists before the members are called: a member without a store would wait for
        # half an hour and generate nothing meanwhile. Closing the store frees those waiting in it.
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
        """Broadcasts every bucket; with the last one the version is complete."""
        await self.each(lambda member: member.begin())
        async for bucket, is_last in snapshot.read():
            version = snapshot.version if is_last else None
            await self._send(bucket, version=version, flush_cache=is_last and flush_cache)
        await self.each(lambda member: member.end())

    async def close(self) -> None:
        """Leaves the process group; members that answer leave it, too."""
        group, self._group = self._group, None
        departures = [asyncio.create_task(member.leave(self._name)) for member in self.members]
        if group is not None:
            if self._backend == "nccl":
                group._get_backend(self._device).abort()
            dist.destroy_process_group(group)
            # Gloo breaks nothing off: where a broadcast hangs, the last to forget the group waits
            # until its time is up.
            held = [group]
            del group
            threading.Thread(target=held.clear, name="group-end", daemon=True).start()
        for departure, engine in zip(departures, self.engines, strict=True):
            with contextlib.suppress(EngineFailedError):
                await self._together({departure: engine}, asyncio.sleep(0))
        await super().close()

    async def _send(self, bucket: Bucket, *, version: int | None, flush_cache: bool) -> None:
        """Returns once every member has loaded the bucket."""
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
        """Waits until all members are at the store, or have answered, as with NCCL they do."""
        while not all(join.done() for join in joins):
            waiting = sum(self._name in key for key in store.list_keys())
            if waiting >= self._world_size - 1:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        # Not before: this call cannot be left.
        return await thread.start(lambda: self._create(store), "meet")

    def _create(self, store: TCPStore) -> ProcessGroup:
        # torch offers no public way to be in a second world of processes; SGLang's own end of
        # this group is made with the same function.
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
        # Seldom enough to leave the processor to others, often enough to lose little time.
        await asyncio.sleep(max(_LOOK_SECONDS / 4, (time.monotonic() - began) / 50))
    work.wait()


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
