"""Engines that hold numbers instead of weights, and a registry of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from rljob.buffer.records import Engine
from rljob_trainer.weights.bucket import Bucket
from rljob_trainer.weights.calls import Liveness
from rljob_trainer.weights.engine import EngineControl, EngineFailedError, PauseMode
from rljob_trainer.weights.engine_group import EngineGroup
from rljob_trainer.weights.snapshot import Snapshot

CALL_SECONDS = 0.01
TIMEOUT = 30.0
EXPIRY_SECONDS = 15.0  # from the end of an engine to that of its registration
BUCKETS = 3


def bucket(version: int, number: int) -> Bucket:
    """A bucket that tells whose it is."""
    return Bucket([f"{number}"], ["uint8"], [[2]], torch.tensor([version, number]).byte())


@dataclass(eq=False)
class SimulatedEngine:
    """What an SGLang server does with weights: in place, bucket by bucket, while it is paused."""

    engine: Engine
    contents: list[int] = field(default_factory=lambda: [-1] * BUCKETS)  # version of each bucket
    version: int = -1  # as it tells
    paused: bool = False
    updating: bool = False
    alive: bool = True
    hangs: bool = False
    fails_at: str = ""  # the next call of this name kills it
    hangs_at: str = ""  # the next call of this name is never answered, nor any after it
    wrongs: list[str] = field(default_factory=list)  # what must never happen

    async def call(self, name: str) -> None:
        """Comes to a call; the answer takes a moment, or for ever."""
        if self.alive and self.hangs_at == name:
            self.hangs, self.hangs_at = True, ""
        if self.alive and self.fails_at == name:
            self.alive = False
        if not self.alive:
            raise EngineFailedError(self.engine, f"{name}: connection refused")
        while self.hangs:
            await asyncio.sleep(0.5)
            if not self.alive:
                raise EngineFailedError(self.engine, f"{name}: connection reset")
        await asyncio.sleep(CALL_SECONDS)

    @property
    def is_whole(self) -> bool:
        """Whether all that it holds is of the version that it tells."""
        return self.contents == [self.version] * BUCKETS


class SimulatedControl(EngineControl):
    """The calls of the trainer, with the answers that a server gives."""

    def __init__(self, simulated: SimulatedEngine) -> None:
        self.engine = simulated.engine
        self._simulated = simulated

    async def pause(self, mode: PauseMode) -> None:
        await self._simulated.call("pause")
        self._simulated.paused = True

    async def resume(self) -> None:
        await self._simulated.call("resume")
        one = self._simulated
        one.paused = False
        if one.updating or not one.is_whole:
            one.wrongs.append(f"generates with {one.contents} as {one.version}")

    async def begin(self) -> None:
        await self._simulated.call("begin")
        if self._simulated.updating:
            raise EngineFailedError(self.engine, "400: an update is open already")
        self._simulated.updating = True

    async def receive(
        self, bucket: Bucket, group: str, *, version: int | None, flush_cache: bool
    ) -> None:
        await self._simulated.call("receive")
        one = self._simulated
        if not one.updating:
            raise EngineFailedError(self.engine, "400: no update is open")
        if not one.paused:
            one.wrongs.append("weights change while it generates")
        of, number = bucket.data.tolist()
        one.contents[number] = of
        if version is not None:
            one.version = version

    async def end(self) -> None:
        await self._simulated.call("end")
        self._simulated.updating = False

    async def recover(self) -> None:
        await self._simulated.call("recover")
        self._simulated.updating = False

    async def close(self) -> None:
        """Nothing is open."""


class SimulatedGroup(EngineGroup):
    """Brings buckets to each member by a call."""

    async def deliver(self, snapshot: Snapshot, *, flush_cache: bool) -> None:
        await self.each(lambda member: member.begin())
        async for bucket, is_last in snapshot.read():
            version = snapshot.version if is_last else None
            for member in self.members:
                await self.each_of(member, bucket, version)
        await self.each(lambda member: member.end())

    async def each_of(self, member: EngineControl, bucket: Bucket, version: int | None) -> None:
        """One bucket to one member: others may have it already when this one fails."""
        reply = asyncio.create_task(member.receive(bucket, "", version=version, flush_cache=False))
        await self._together({reply: member.engine}, asyncio.sleep(0))


class SimulatedRegistry:
    """The buffer: who lives, and who is admitted to work."""

    def __init__(self) -> None:
        self.engines_by_id: dict[str, SimulatedEngine] = {}
        self.version = -1
        self.versions: dict[str, int] = {}

    def engines(self) -> list[Engine]:
        return sorted((one.engine for one in self.engines_by_id.values()), key=lambda e: e.id)

    def set_version(self, version: int, engine_ids: Sequence[str]) -> None:
        self.version = version
        self.versions = dict.fromkeys(engine_ids, version)

    def set_engine_version(self, engine_id: str, version: int) -> None:
        self.versions[engine_id] = max(version, self.versions.get(engine_id, -1))

    def new_group(self, engines: Sequence[Engine], is_live: Liveness) -> EngineGroup:
        """A group of simulated engines."""
        members = [SimulatedControl(self._find(engine)) for engine in engines]
        return SimulatedGroup(members, timeout=TIMEOUT, is_live=is_live)

    def admitted(self) -> list[SimulatedEngine]:
        """Those that may lease work now."""
        return [
            one
            for id_, one in self.engines_by_id.items()
            if self.versions.get(id_) == self.version and self.version >= 0
        ]

    def _find(self, engine: Engine) -> SimulatedEngine:
        gone = SimulatedEngine(engine, alive=False)
        return self.engines_by_id.get(engine.id, gone)
