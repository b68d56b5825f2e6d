"""Members that do not go on after an update, in virtual time."""

import asyncio

import pytest

from rljob.api.weights import WeightsSpec
from rljob_trainer.weights.snapshot import Snapshot
from rljob_trainer.weights.updates import Updates
from tests.trainer.weights.simulation import (
    BUCKETS,
    TIMEOUT,
    SimulatedEngine,
    SimulatedRegistry,
    bucket,
)
from tests.trainer.weights.test_updates import ask, new_engine
from tests.trainer.weights.virtual_time import VirtualTimeLoop

SOUND, FAULTY = (new_engine(number) for number in range(2))


def begin(
    *engines: SimulatedEngine,
) -> tuple[VirtualTimeLoop, SimulatedRegistry, "asyncio.Task[int]"]:
    """An update of these engines, a second after its beginning."""
    registry = SimulatedRegistry()
    registry.engines_by_id = {one.engine.id: one for one in engines}
    loop = VirtualTimeLoop()
    snapshot = Snapshot(0)
    snapshot.fill([bucket(0, number) for number in range(BUCKETS)])
    updates = Updates(WeightsSpec(), registry, registry.new_group, ask)
    publication = loop.create_task(updates.publish(snapshot))
    loop.run_until_complete(asyncio.sleep(1.0))
    return loop, registry, publication


def test_a_member_that_hangs_does_not_keep_the_others_from_work() -> None:
    sound = SimulatedEngine(SOUND)
    loop, registry, publication = begin(sound, SimulatedEngine(FAULTY, hangs_at="resume"))
    assert not publication.done()
    assert not sound.paused
    assert (sound.version, registry.version) == (0, 0), "what it generates with is known"
    assert sound in registry.admitted()
    loop.run_until_complete(asyncio.sleep(TIMEOUT + 1))
    assert publication.result() == 0
    assert registry.admitted() == [sound]
    loop.close()


@pytest.mark.parametrize("count", [1, 3])
def test_members_that_die_lose_their_work_and_the_others_get_no_second_update(count: int) -> None:
    sound = SimulatedEngine(SOUND)
    dying = [SimulatedEngine(new_engine(n), fails_at="resume") for n in range(1, count + 1)]
    loop, registry, publication = begin(*dying, sound)
    assert publication.result() == 0
    assert registry.admitted() == [sound]
    assert not sound.paused
    loop.close()


def test_an_update_that_nobody_is_left_of_goes_to_the_next_engine() -> None:
    loop, registry, publication = begin(SimulatedEngine(FAULTY, fails_at="resume"))
    assert not publication.done()
    sound = SimulatedEngine(SOUND)
    registry.engines_by_id = {SOUND.id: sound}
    loop.run_until_complete(asyncio.sleep(5.0))
    assert publication.result() == 0
    assert registry.admitted() == [sound]
    loop.close()
