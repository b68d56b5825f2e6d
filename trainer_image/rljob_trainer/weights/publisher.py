"""Publishing: a new weight version into the engines, and the last one into those that come late.

The states that engines go through and what is said to them are told in docs/weights.md.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, TypeVar

import structlog

from rljob import thread
from rljob.api.weights import WeightsSpec
from rljob.buffer.client import TrainerBuffer
from rljob.buffer.records import Engine
from rljob_trainer.weights.calls import Liveness
from rljob_trainer.weights.engine import EngineControl, EngineFailedError
from rljob_trainer.weights.engine_group import EngineGroup
from rljob_trainer.weights.membership import Membership
from rljob_trainer.weights.snapshot import Snapshot

T = TypeVar("T")
NewGroup = Callable[[Sequence[EngineControl], Liveness], EngineGroup]

log = structlog.get_logger()

_LOOK_SECONDS = 0.2
_FAREWELL_SECONDS = 5.0


class Publisher:
    """Sends weights to the engines. Lives on rank 0, with a thread of its own.

    The engines that hold the published version are told to the buffer, and only these lease
    work. An engine that fails in an update is left out: it keeps its old version, so it gets no
    work until it has caught up, which happens besides training. Training waits only while no
    engine at all is left.
    """

    def __init__(
        self,
        spec: WeightsSpec,
        buffer: TrainerBuffer,
        *,
        admin_key: str | None,
        new_group: NewGroup,
    ) -> None:
        """
        Args:
            spec: of the job.
            buffer: where the engines register.
            admin_key: of the engines.
            new_group: makes a group of the job's transport.
        """
        self._spec = spec
        self._buffer = buffer
        self._admin_key = admin_key
        self._new_group = new_group
        self._membership = Membership()
        self._group: EngineGroup | None = None
        self._published: Snapshot | None = None  # for engines that come late
        self._updating = False
        self._update: Future[int] | None = None
        self._attendance: Future[None] | None = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="publisher", daemon=True).start()
        self.epoch = 0
        self.seconds = 0.0  # that the last update took

    @property
    def holders(self) -> frozenset[str]:
        """Ids of the live engines that hold the published version."""
        return frozenset(self._membership.current())

    @property
    def lagging(self) -> int:
        """Live engines that do not."""
        return self._membership.lagging()

    def publish(self, snapshot: Snapshot) -> None:
        """Begins to send weights, which may still be being gathered, to the engines."""
        self._update = self._start(self._publish(snapshot))
        if self._attendance is None:
            self._attendance = self._start(self._attend())

    def wait(self, while_waiting: Callable[[], None]) -> int:
        """Waits until what was sent last is the published version, and returns that.

        Args:
            while_waiting: called again and again meanwhile; may raise.
        """
        assert self._update is not None, "nothing is being published"
        while not wait([self._update], _LOOK_SECONDS).done:
            while_waiting()
        return self._update.result()

    def check(self) -> None:
        """Raises what has ended the attendance of the engines, if anything has."""
        if self._attendance is not None and self._attendance.done():
            self._attendance.result()

    def close(self) -> None:
        """Ends everything that goes on and dissolves the group."""
        with contextlib.suppress(TimeoutError):
            self._start(self._end()).result(_FAREWELL_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._drop_group()

    async def _publish(self, snapshot: Snapshot) -> int:
        began = time.monotonic()
        self._updating = True
        try:
            while True:
                engines = await self._participants()
                try:
                    group = await self._group_of(engines)
                    await self._hand_over(group, snapshot)
                    break
                except EngineFailedError as error:
                    self._leave_out(error)
                    await self._drop_group()
            holders = self._membership.publish(snapshot.version, engines)
            await self._ask(lambda: self._buffer.set_version(snapshot.version, holders))
            self._published = snapshot
            self.seconds = time.monotonic() - began
            return snapshot.version
        finally:
            self._updating = False

    async def _participants(self) -> list[Engine]:
        """Who takes part in an update; waits until there is somebody."""
        waiting = False
        while True:
            await self._see()
            engines = self._membership.for_update(time.monotonic())
            if engines:
                return engines
            if not waiting:
                log.info("engines.awaited")
                waiting = True
            await asyncio.sleep(_LOOK_SECONDS)

    async def _attend(self) -> None:
        """Sees who comes and goes, and brings those who came to the published version."""
        joining: asyncio.Task[None] | None = None
        while True:
            await self._see()
            if joining is not None and joining.done():
                joining.result()
                joining = None
            engines = self._membership.for_joining(time.monotonic())
            if engines and joining is None and self._published and not self._updating:
                joining = asyncio.create_task(self._bring(engines, self._published))
            await asyncio.sleep(_LOOK_SECONDS)

    async def _bring(self, engines: Sequence[Engine], snapshot: Snapshot) -> None:
        """In a group of their own, so that the others go on generating."""
        self._membership.join(engines)
        try:
            group = await self._form(engines)
            try:
                await self._hand_over(group, snapshot)
            finally:
                await group.close()
        except EngineFailedError as error:
            self._leave_out(error)
            self._membership.release(engines)
            return
        for engine in engines:
            self._membership.receive(engine, snapshot.version)
            log.info("engine.caught_up", engine=engine.id, version=snapshot.version)
            if snapshot is self._published:
                set_version = partial(self._buffer.set_engine_version, engine.id, snapshot.version)
                await self._ask(set_version)

    async def _hand_over(self, group: EngineGroup, snapshot: Snapshot) -> None:
        """Pauses the members, brings them the weights, and lets them go on."""
        mode = self._spec.pause_mode
        await group.each(lambda member: member.pause(mode))
        # Requests that are paused in place hold their cache, which then cannot be flushed; such an
        # engine shares no prefixes between requests, so none is ever reused.
        await group.deliver(snapshot, flush_cache=mode != "in_place")
        await group.each(EngineControl.resume)

    async def _group_of(self, engines: Sequence[Engine]) -> EngineGroup:
        """The group of exactly these engines: the present one, or a new epoch."""
        if self._group is None or self._group.engines != list(engines):
            await self._drop_group()
            self._group = await self._form(engines)
            self.epoch += 1
            log.info("epoch.formed", epoch=self.epoch, members=len(engines))
        return self._group

    async def _form(self, engines: Sequence[Engine]) -> EngineGroup:
        controls = [
            EngineControl(engine, self._admin_key, self._spec.timeout_seconds) for engine in engines
        ]
        group = self._new_group(controls, self._membership.is_live)
        try:
            await group.meet()
        except BaseException:
            await group.close()
            raise
        return group

    async def _drop_group(self) -> None:
        group, self._group = self._group, None
        if group is not None:
            await group.close()

    def _leave_out(self, error: EngineFailedError) -> None:
        """The update goes on without it; it is tried again, ever less often."""
        log.warning("engine.left_out", engine=error.engine.id, reason=error.reason)
        self._membership.fail(error.engine, time.monotonic())

    async def _see(self) -> None:
        self._membership.see(await self._ask(self._buffer.engines))

    async def _ask(self, request: Callable[[], T]) -> T:
        return await thread.start(request, "buffer")
