"""Trainers' /status, read from real servers."""

import asyncio
from collections.abc import Iterator

import pytest

from rljob_operator import reports
from rljob_operator.observed import Observed
from rljob_operator.reports import Reports
from tests.cluster.trainer import Trainer
from tests.operator_.simulation import a_pod


@pytest.fixture
def trainers() -> Iterator[list[Trainer]]:
    found = [Trainer(), Trainer()]
    yield found
    for trainer in found:
        trainer.close()


def seen(name: str, trainer: Trainer) -> Observed:
    """A job whose trainer is ready."""
    pod = a_pod("trainer", f"{name}-trainer-0", ip=trainer.ip)
    return Observed({"metadata": {"name": name}}, pods=(pod,))


def test_a_trainer_that_comes_and_goes_has_one_turn(trainers: list[Trainer]) -> None:
    async def read() -> None:
        changed = asyncio.Queue[str]()
        reader = Reports(changed.put_nowait)
        for _ in range(10):
            reader.follow("team/one", seen("one", trainers[0]))
            reader.follow("team/one", None)
        reader.follow("team/one", seen("one", trainers[0]))
        reader.follow("team/other", seen("other", trainers[1]))
        running = asyncio.create_task(reader.run())
        assert {await changed.get(), await changed.get()} == {"team/one", "team/other"}
        running.cancel()

    asyncio.run(read())
    assert [trainer.reads for trainer in trainers] == [1, 1]


def test_a_trainer_that_is_slow_to_answer_is_read_again(
    trainers: list[Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "INTERVAL", 0.1)
    trainer = trainers[0]
    trainer.answers.clear()

    async def read() -> None:
        changed = asyncio.Queue[str]()
        reader = Reports(changed.put_nowait)
        reader.follow("team/one", seen("one", trainer))
        running = asyncio.create_task(reader.run())
        while not trainer.reads:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # until nothing else is to be done
        trainer.answers.set()
        await changed.get()
        trainer.say(phase="running")
        await changed.get()
        found = reader.of("team/one")
        assert found is not None
        assert found.body == {"phase": "running"}
        running.cancel()

    asyncio.run(asyncio.wait_for(read(), 30))
