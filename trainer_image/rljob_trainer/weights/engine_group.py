"""Engines that receive the same weights together, over any transport."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from rljob.buffer.records import Engine
from rljob_trainer.weights.calls import Liveness, together
from rljob_trainer.weights.engine import EngineControl, EngineFailedError
from rljob_trainer.weights.snapshot import Snapshot

T = TypeVar("T")


class EngineGroup(ABC):
    """A fixed set of engines. It is never repaired: when one fails, a new group is made.

    Every call to the engines but `resume` raises EngineFailedError for the first one that fails.
    """

    def __init__(
        self, members: Sequence[EngineControl], *, timeout: float, is_live: Liveness
    ) -> None:
        """Contacts no engine yet: `meet` does.

        Args:
            members: the engines.
            timeout: seconds that a member may take for its part of a call.
            is_live: asked about members that have not answered.
        """
        self.members = list(members)
        self._timeout = timeout
        self._is_live = is_live

    @property
    def engines(self) -> list[Engine]:
        """The members."""
        return [member.engine for member in self.members]

    async def meet(self) -> None:
        """Connects the members; if one does not come, the others are released."""
        await self.each(lambda member: member.recover())

    async def prepare(self, snapshot: Snapshot) -> None:  # noqa: B027 - most have nothing to do
        """Does what needs no pause; the weights may still be being gathered."""

    @abstractmethod
    async def deliver(self, snapshot: Snapshot, *, flush_cache: bool) -> None:
        """Loads weights, which may still be being gathered, into members that are paused.

        Args:
            snapshot: the weights.
            flush_cache: whether to drop cached prefixes of the old weights.
        """

    async def resume(self) -> list[EngineFailedError]:
        """Has every member go on, each for itself; returns the errors of those that do not."""
        members = [self._alone(member.resume(), member.engine) for member in self.members]
        return [error for error in await asyncio.gather(*members) if error is not None]

    async def close(self) -> None:
        """Disconnects from the members, whatever state they are in."""
        for member in self.members:
            await member.close()

    async def each(self, call: Callable[[EngineControl], Coroutine[Any, Any, None]]) -> None:
        """Makes the same call to every member at once."""
        calls = {asyncio.create_task(call(member)): member.engine for member in self.members}
        await self._together(calls, asyncio.sleep(0))

    async def _alone(
        self, call: Coroutine[Any, Any, None], engine: Engine
    ) -> EngineFailedError | None:
        try:
            await self._together({asyncio.create_task(call): engine}, asyncio.sleep(0))
        except EngineFailedError as error:
            return error
        return None

    async def _together(
        self, calls: dict["asyncio.Task[None]", Engine], beside: Coroutine[Any, Any, T]
    ) -> T:
        return await together(calls, beside, is_live=self._is_live, timeout=self._timeout)
