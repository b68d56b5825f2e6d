"""Publishing: the trainer's side of updates, which run in their own thread."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from rljob import thread
from rljob.api.weights import WeightsSpec
from rljob.buffer.client import TrainerBuffer
from rljob.buffer.records import Engine
from rljob_trainer.weights.calls import Liveness
from rljob_trainer.weights.engine import EngineControl
from rljob_trainer.weights.engine_group import EngineGroup
from rljob_trainer.weights.snapshot import Snapshot
from rljob_trainer.weights.updates import Updates

T = TypeVar("T")
NewGroup = Callable[[Sequence[EngineControl], Liveness], EngineGroup]

_LOOK_SECONDS = 0.1
_FAREWELL_SECONDS = 5.0


class Publisher:
    """Publishes weight versions. Lives on rank 0.

    Training waits for the update of the engines that hold weights, and otherwise only while there
    is no engine at all; engines that join late catch up in the background.
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
            new_group: makes a group for the job's transport.
        """

        def group(engines: Sequence[Engine], is_live: Liveness) -> EngineGroup:
            timeout = spec.timeout_seconds
            return new_group([EngineControl(e, admin_key, timeout) for e in engines], is_live)

        self._updates = Updates(spec, buffer, group, _ask)
        self._update: Future[int] | None = None
        self._attendance: Future[None] | None = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="publisher", daemon=True).start()

    @property
    def holders(self) -> frozenset[str]:
        """Ids of the live engines that hold the published version."""
        return frozenset(self._updates.membership.current())

    @property
    def lagging(self) -> int:
        """The number of live engines that do not hold the published version."""
        return self._updates.membership.lagging()

    @property
    def epoch(self) -> int:
        """The number of engine groups so far."""
        return self._updates.epoch

    @property
    def nbytes(self) -> int:
        """Bytes of the last published version."""
        return self._updates.nbytes

    @property
    def seconds(self) -> float:
        """Seconds that the last update took, including the wait for the first engine."""
        return self._updates.seconds

    @property
    def pause_seconds(self) -> float:
        """Seconds for which the last update paused its engines."""
        return self._updates.pause_seconds

    def publish(self, snapshot: Snapshot) -> None:
        """Starts sending weights, which may still be being gathered, to the engines."""
        self._update = self.start(self._updates.publish(snapshot))
        if self._attendance is None:
            self._attendance = self.start(self._updates.attend())

    def wait(self, while_waiting: Callable[[], None]) -> int:
        """Waits until the weights sent last are published; returns their version.

        Args:
            while_waiting: called repeatedly meanwhile; may raise.
        """
        assert self._update is not None, "nothing is being published"
        while not wait([self._update], _LOOK_SECONDS).done:
            while_waiting()
        return self._update.result()

    def check(self) -> None:
        """Raises the error that has ended the task that attends to engines, if any."""
        if self._attendance is not None and self._attendance.done():
            self._attendance.result()

    def start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Runs requests to engines while training continues; `close` ends unfinished ones."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Ends everything in progress and dissolves the group."""
        with contextlib.suppress(TimeoutError):
            self.start(self._end()).result(_FAREWELL_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._updates.drop_group()


def _ask(request: Callable[[], T]) -> Awaitable[T]:
    return thread.start(request, "buffer")
