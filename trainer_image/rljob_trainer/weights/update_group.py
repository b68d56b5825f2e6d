"""The process group through which weights flow: the trainer as rank 0, engines as 1, 2, ..."""

import socket
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore
from torch.distributed import ProcessGroup
from torch.distributed.distributed_c10d import (
    Backend,
    GroupName,
    _new_process_group_helper,
    _world,
)

from rljob.buffer.records import Engine
from rljob_trainer.weights.bucket import Bucket
from rljob_trainer.weights.engine import EngineControl, EngineFailedError

_POLL_SECONDS = 0.0005


class UpdateGroup:
    """One membership epoch: a fixed set of engines that receive the same broadcasts.

    A group of its own, apart from the trainer's: engines come and go without the trainer's ranks
    noticing. It is never repaired. When a member fails, the group is dropped and a new one made.
    """

    def __init__(
        self,
        members: Sequence[EngineControl],
        *,
        host: str,
        device: torch.device,
        ranks_per_engine: int,
        timeout: float,
        executor: ThreadPoolExecutor,
    ) -> None:
        """Meets all members; returns within `timeout` seconds.

        Raises:
            EngineFailedError: a member did not come.
        """
        self.members = list(members)
        self._executor = executor
        self._device = device
        self.name = f"rljob-{uuid.uuid4().hex[:12]}"
        world_size = 1 + ranks_per_engine * len(self.members)
        port = _free_port(host)
        # The store is there before the members are called: one that finds nobody would wait for
        # half an hour, and generate nothing meanwhile.
        store = TCPStore(
            host, port, world_size, True, timedelta(seconds=timeout), wait_for_workers=False
        )
        backend = "nccl" if device.type == "cuda" else "gloo"
        joins = {
            executor.submit(
                member.join,
                host,
                port,
                rank=1 + number * ranks_per_engine,
                world_size=world_size,
                group=self.name,
                backend=backend,
            ): member
            for number, member in enumerate(self.members)
        }
        reason = ""
        try:
            self._group = self._meet(store, world_size, backend, timeout)
        except RuntimeError as error:
            reason = str(error)
        if reason:
            # Members that wait for the one that did not come are freed when the store is gone.
            del store
            raise _first_failure(joins, f"did not join in {timeout:g} s: {reason}")
        _raise_first(joins, timeout)
        self._store = store

    @property
    def engines(self) -> list[Engine]:
        """The members."""
        return [member.engine for member in self.members]

    def send(self, bucket: Bucket, *, version: int | None, flush_cache: bool) -> None:
        """Broadcasts a bucket; returns once every member has loaded it.

        Args:
            bucket: the weights.
            version: with the last bucket, the version that is then complete.
            flush_cache: with the last bucket, whether cached prefixes are forgotten.

        Raises:
            EngineFailedError: a member refused it, or died or hung in the broadcast.
        """
        replies = {
            self._executor.submit(
                member.receive, bucket, self.name, version=version, flush_cache=flush_cache
            ): member
            for member in self.members
        }
        data = bucket.data.to(self._device)
        try:
            work = dist.broadcast(data, src=0, group=self._group, async_op=True)
            assert work is not None
            # A member that refuses answers at once and never enters the broadcast, which would
            # then hold the trainer until its time is up: so both are watched.
            while not work.is_completed():
                for reply in replies:
                    if reply.done():
                        reply.result()
                time.sleep(_POLL_SECONDS)
            work.wait()
        except RuntimeError as error:
            raise _first_failure(replies, f"broke off in the broadcast: {error}") from error
        _raise_first(replies, None)

    def close(self) -> None:
        """Leaves the group; members that still answer are told to leave it, too."""
        departures = [self._executor.submit(member.leave, self.name) for member in self.members]
        dist.destroy_process_group(self._group)
        wait(departures)
        for member in self.members:
            member.close()

    def _meet(self, store: Store, world_size: int, backend: str, timeout: float) -> ProcessGroup:
        # torch offers no public way to be in a second world of processes; SGLang's own end of
        # this group is made with the same function.
        group, _ = _new_process_group_helper(
            world_size,
            0,
            [],
            Backend(backend),
            PrefixStore(self.name, store),
            group_name=GroupName(self.name),
            timeout=timedelta(seconds=timeout),
        )
        assert isinstance(group, ProcessGroup)
        _world.pg_group_ranks[group] = {rank: rank for rank in range(world_size)}
        return group


def _raise_first(calls: dict[Future[None], EngineControl], timeout: float | None) -> None:
    """Waits for all calls and raises the first failure."""
    _, late = wait(calls, timeout)
    for call, member in calls.items():
        if call in late:
            raise EngineFailedError(member.engine, f"no answer in {timeout:.0f} s")
        call.result()


def _first_failure(calls: dict[Future[None], EngineControl], reason: str) -> EngineFailedError:
    """The member to blame when the group as a whole broke: one whose own call failed, if any."""
    done, late = wait(calls, timeout=1.0)
    for call in done:
        error = call.exception()
        if isinstance(error, EngineFailedError):
            return error
    suspect = next(iter(late), None) or next(iter(calls))
    return EngineFailedError(calls[suspect].engine, reason)


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
