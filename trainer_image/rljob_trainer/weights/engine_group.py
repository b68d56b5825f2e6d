"""Engines that receive the same weights at the same time, by whichever transport."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from rljob.buffer.records import Engine
from rljob_trainer.weights.calls import Liveness, together
from rljob_trainer.weights.engine import EngineControl
from rljob_trainer.weights.snapshot import Snapshot

T = TypeVar("T")


class EngineGroup(ABC):
    """A fixed set of engines. It is never repaired: when one fails, a new group is made.

    Every call to the engines raises EngineFailedError for the first that fails.
    """

    def __init__(
        self, members: Sequence[EngineControl], *, timeout: float, is_live: Liveness
    ) -> None:
        """Nobody is called yet: `meet` does.

        Args:
            members: the engines.
            timeout: seconds for a member to do its part of a call.
            is_live: asked for members that are waited for.
        """
        self.members = list(members)
        self._timeout = timeout
        self._is_live = is_live

    @property
    def engines(self) -> list[Engine]:
        """The members."""
        return [member.engine for member in self.members]

    async def meet(self) -> None:
        """Brings the members together; where one does not come, the others are free again."""
        await self.each(lambda member: member.recover())

    async def prepare(self, snapshot: Snapshot) -> None:  # noqa: B027 - most have nothing to do
        """Does with weights, which may still be being gathered, what no member has to pause for."""

    @abstractmethod
    async def deliver(self, snapshot: Snapshot, *, flush_cache: bool) -> None:
        """Brings weights, which may still be being gathered, into members that are paused.

        Args:
            snapshot: the weights.
            flush_cache: whether cached prefixes of the old weights are forgotten.
        """

    async def close(self) -> None:
        """Leaves the members, in whatever state they are."""
        for member in self.members:
            await member.close()

    async def each(self, call: Callable[[EngineControl], Coroutine[Any, Any, None]]) -> None:
        """The same call to every member, all at once."""
        calls = {asyncio.create_task(call(member)): member.engine for member in self.members}
        await self._together(calls, asyncio.sleep(0))

    async def _together(
        self, calls: dict["asyncio.Task[None]", Engine], beside: Coroutine[Any, Any, T]
    ) -> T:
        return await together(calls, beside, is_live=self._is_live, timeout=self._timeout)
