"""Updates: send new weight versions to the engines, and the last one to engines that join late.

docs/weights.md describes the states of engines and the requests to them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import structlog

from rljob.api.weights import WeightsSpec
from rljob.buffer.records import Engine
from rljob_trainer.weights.calls import Liveness
from rljob_trainer.weights.engine import EngineFailedError
from rljob_trainer.weights.engine_group import EngineGroup
from rljob_trainer.weights.membership import Membership
from rljob_trainer.weights.snapshot import Snapshot

T = TypeVar("T")

log = structlog.get_logger()

_LOOK_SECONDS = 0.2


class Registry(Protocol):
    """The part of the buffer that is used here; its requests block."""

    def engines(self) -> list[Engine]:
        """The live engines."""

    def set_version(self, version: int, engine_ids: Sequence[str]) -> None:
        """Publishes a version and admits only these engines to work."""

    def set_engine_version(self, engine_id: str, version: int) -> None:
        """Admits an engine that has caught up."""


class Ask(Protocol):
    """Makes a blocking request without blocking the event loop."""

    def __call__(self, request: Callable[[], T], /) -> Awaitable[T]: ...


class Updates:
    """Sends weights to the engines. Its coroutines belong to one event loop.

    The buffer is told which engines hold the published version, and only these lease work. An
    engine that fails in an update is left out: it gets no work until it has caught up, which
    happens in the background.
    """

    def __init__(
        self,
        spec: WeightsSpec,
        registry: Registry,
        new_group: Callable[[Sequence[Engine], Liveness], EngineGroup],
        ask: Ask,
    ) -> None:
        self._spec = spec
        self._registry = registry
        self._new_group = new_group
        self._ask = ask
        self._group: EngineGroup | None = None
        self._published: Snapshot | None = None  # for engines that join late
        self._updating = False
        self.membership = Membership()
        self.epoch = 0
        self.nbytes = 0  # of the last update
        self.seconds = 0.0  # that it took, including the wait for a first engine
        self.pause_seconds = 0.0  # of them, those in which its engines were paused

    async def publish(self, snapshot: Snapshot) -> int:
        """Publishes weights, which may still be being gathered; returns their version.

        Waits for a first engine, however long that takes.
        """
        began = _now()
        paused: float | None = None
        self._updating = True
        try:
            while True:
                engines = await self._participants()
                try:
                    group = await self._group_of(engines)
                    await group.prepare(snapshot)
                    # After a member has failed, the others are still paused.
                    paused = _now() if paused is None else paused
                    await self._hand_over(group, snapshot)
                except EngineFailedError as error:
                    self._leave_out(error)
                    await self.drop_group()
                    continue
                # The members are still paused: none generates with a version that the registry
                # does not know of, however long another one takes to go on.
                await self._admit(snapshot, self.membership.publish(snapshot.version, engines))
                failures = await group.resume()
                self.pause_seconds = _now() - paused
                if failures:
                    await self._exclude(failures, snapshot, engines)
                if len(failures) < len(engines):
                    break
            self.nbytes, self.seconds = snapshot.nbytes, _now() - began
            return snapshot.version
        finally:
            self._updating = False

    async def _admit(self, snapshot: Snapshot, holders: Sequence[str]) -> None:
        """Publishes a version that these engines hold."""
        await self._ask(lambda: self._registry.set_version(snapshot.version, holders))
        self._published = snapshot

    async def _exclude(
        self, failures: Sequence[EngineFailedError], snapshot: Snapshot, members: Sequence[Engine]
    ) -> None:
        """Takes work away from members that hold the version, but did not go on."""
        for failure in failures:
            self._leave_out(failure)
        await self.drop_group()
        failed = {failure.engine.id for failure in failures}
        await self._admit(snapshot, sorted({each.id for each in members} - failed))

    async def _participants(self) -> list[Engine]:
        """The engines that take part in an update; waits until there is one."""
        waiting = False
        while True:
            await self._see()
            engines = self.membership.for_update(_now())
            if engines:
                return engines
            if not waiting:
                log.info("engines.awaited")
                waiting = True
            await asyncio.sleep(_LOOK_SECONDS)

    async def attend(self) -> None:
        """Runs forever: brings new engines to the published version, forgets engines that left."""
        joining: asyncio.Task[None] | None = None
        while True:
            await self._see()
            if joining is not None and joining.done():
                joining.result()
                joining = None
            engines = self.membership.for_joining(_now())
            if engines and joining is None and self._published and not self._updating:
                joining = asyncio.create_task(self._bring(engines, self._published))
            await asyncio.sleep(_LOOK_SECONDS)

    async def _bring(self, engines: Sequence[Engine], snapshot: Snapshot) -> None:
        """Updates engines in a separate group, so that the others keep generating."""
        self.membership.join(engines)
        try:
            group = await self._form(engines)
            try:
                await group.prepare(snapshot)
                await self._hand_over(group, snapshot)
                failures = await group.resume()
            finally:
                await group.close()
            if failures:
                raise failures[0]
        except EngineFailedError as error:
            self._leave_out(error)
            self.membership.release(engines)
            return
        for engine in engines:
            self.membership.receive(engine, snapshot.version)
            log.info("engine.caught_up", engine=engine.id, version=snapshot.version)
            if snapshot is self._published:
                admit = partial(self._registry.set_engine_version, engine.id, snapshot.version)
                await self._ask(admit)

    async def _hand_over(self, group: EngineGroup, snapshot: Snapshot) -> None:
        """Pauses the members, and sends them the weights that they are prepared for."""
        mode = self._spec.pause_mode
        await group.each(lambda member: member.pause(mode))
        # Requests that are paused in place hold their cache, which then cannot be flushed. Such an
        # engine shares no prefixes between requests, so no stale cache is ever reused.
        await group.deliver(snapshot, flush_cache=mode != "in_place")

    async def _group_of(self, engines: Sequence[Engine]) -> EngineGroup:
        """The group of exactly these engines: the present one, or a new one in a new epoch."""
        if self._group is None or self._group.engines != list(engines):
            await self.drop_group()
            self._group = await self._form(engines)
            self.epoch += 1
            log.info("epoch.formed", epoch=self.epoch, members=len(engines))
        return self._group

    async def _form(self, engines: Sequence[Engine]) -> EngineGroup:
        group = self._new_group(engines, self.membership.is_live)
        try:
            await group.meet()
        except BaseException:
            await group.close()
            raise
        return group

    async def drop_group(self) -> None:
        """Dissolves the group of the present epoch."""
        group, self._group = self._group, None
        if group is not None:
            await group.close()

    def _leave_out(self, error: EngineFailedError) -> None:
        """Continues the update without the engine, which is retried at growing intervals."""
        log.warning("engine.left_out", engine=error.engine.id, reason=error.reason)
        self.membership.fail(error.engine, _now())

    async def _see(self) -> None:
        self.membership.see(await self._ask(self._registry.engines))


def _now() -> float:
    return asyncio.get_running_loop().time()
