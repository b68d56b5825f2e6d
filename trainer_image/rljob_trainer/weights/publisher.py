"""Publishing: the trainer's side of updates, which go on in a thread of their own."""

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

    Training waits for an update of the engines that hold weights, and only while no engine at all
    is left; whoever comes late is caught up beside it.
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
        """Live engines that do not."""
        return self._updates.membership.lagging()

    @property
    def epoch(self) -> int:
        """Groups of engines that there have been."""
        return self._updates.epoch

    @property
    def nbytes(self) -> int:
        """Of the version published last."""
        return self._updates.nbytes

    @property
    def seconds(self) -> float:
        """That the last update took, waiting for the first engine included."""
        return self._updates.seconds

    def publish(self, snapshot: Snapshot) -> None:
        """Begins to send weights, which may still be being gathered, to the engines."""
        self._update = self.start(self._updates.publish(snapshot))
        if self._attendance is None:
            self._attendance = self.start(self._updates.attend())

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

    def start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Runs requests to engines beside training; `close` ends what is not done."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Ends everything that goes on and dissolves the group."""
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
