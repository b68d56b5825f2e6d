"""Trainers' /status, read from real servers."""

import asyncio
from collections.abc import Iterator

import pytest

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
        reports = Reports(changed.put_nowait)
        for _ in range(10):
            reports.follow("team/one", seen("one", trainers[0]))
            reports.follow("team/one", None)
        reports.follow("team/one", seen("one", trainers[0]))
        reports.follow("team/other", seen("other", trainers[1]))
        running = asyncio.create_task(reports.run())
        assert {await changed.get(), await changed.get()} == {"team/one", "team/other"}
        running.cancel()

    asyncio.run(read())
    assert [trainer.reads for trainer in trainers] == [1, 1]
