"""Concurrent calls share a round trip, and each gets its own reply."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from rljob.buffer.together import Call, Together


class Wire:
    """Answers a call with what it was given, and keeps what was sent together."""

    def __init__(self) -> None:
        self.sent: list[list[Call]] = []
        self.open = asyncio.Event()

    async def send(self, calls: Sequence[Call]) -> Sequence[Any]:
        self.sent.append(list(calls))
        await self.open.wait()
        if any(call[0] == "bad" for call in calls):
            raise OSError("no reply")
        return [call[0] for call in calls]


def test_what_is_called_while_another_is_under_way_goes_together() -> None:
    async def run() -> None:
        wire = Wire()
        together = Together(wire.send)
        calls = [asyncio.create_task(together(number)) for number in range(5)]
        await asyncio.sleep(0)
        late = asyncio.create_task(together("late"))
        await asyncio.sleep(0)
        wire.open.set()
        assert await asyncio.gather(*calls, late) == [0, 1, 2, 3, 4, "late"]
        assert [len(sent) for sent in wire.sent] == [5, 1]

    asyncio.run(run())


def test_large_ones_are_sent_apart() -> None:
    async def run() -> None:
        wire = Wire()
        wire.open.set()
        together = Together(wire.send)
        large = bytes(5 * 2**20)
        await asyncio.gather(*(together(number, large) for number in range(3)))
        assert [len(sent) for sent in wire.sent] == [1, 1, 1]

    asyncio.run(run())


def test_failure_is_told_to_those_it_concerns_and_the_next_go_on() -> None:
    async def run() -> None:
        wire = Wire()
        wire.open.set()
        together = Together(wire.send)
        with pytest.raises(OSError, match="no reply"):
            await together("bad")
        assert await together("good") == "good"

    asyncio.run(run())


def test_caller_that_is_cancelled_leaves_the_others_their_replies() -> None:
    async def run() -> None:
        wire = Wire()
        together = Together(wire.send)
        first, second = (asyncio.create_task(together(number)) for number in (1, 2))
        await asyncio.sleep(0.01)
        first.cancel()
        wire.open.set()
        assert await second == 2
        await asyncio.gather(first, return_exceptions=True)
        assert first.cancelled()

    asyncio.run(run())


def test_closing_gives_up_what_is_under_way() -> None:
    async def run() -> None:
        wire = Wire()
        together = Together(wire.send)
        calls = [asyncio.create_task(together(number)) for number in range(40)]
        await asyncio.sleep(0.01)
        await together.close()
        await asyncio.gather(*calls, return_exceptions=True)
        assert all(call.cancelled() for call in calls)

    asyncio.run(run())
