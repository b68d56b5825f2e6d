"""For how long an update pauses its engines, in virtual time."""

import asyncio
from collections.abc import Sequence

import pytest

from rljob.api.weights import WeightsSpec
from rljob.buffer.records import Engine
from rljob_trainer.weights.calls import Liveness
from rljob_trainer.weights.engine_group import EngineGroup
from rljob_trainer.weights.snapshot import Snapshot
from rljob_trainer.weights.updates import Updates
from tests.trainer.weights.simulation import (
    BUCKETS,
    CALL_SECONDS,
    SimulatedEngine,
    SimulatedGroup,
    SimulatedRegistry,
    bucket,
)
from tests.trainer.weights.test_updates import ask, new_engine
from tests.trainer.weights.virtual_time import VirtualTimeLoop

PREPARATION = 5.0
# pause, begin, one call for each bucket, end, resume
CALLS = 4 + BUCKETS


class PreparedGroup(SimulatedGroup):
    """One whose members have something to do before they pause, as those of a disk have."""

    async def prepare(self, snapshot: Snapshot) -> None:
        await asyncio.sleep(PREPARATION)


class Registry(SimulatedRegistry):
    def new_group(self, engines: Sequence[Engine], is_live: Liveness) -> EngineGroup:
        made = super().new_group(engines, is_live)
        return PreparedGroup(made.members, timeout=30, is_live=is_live)


def published(*engines: SimulatedEngine) -> Updates:
    """After an update of these engines."""
    registry = Registry()
    registry.engines_by_id = {one.engine.id: one for one in engines}
    loop = VirtualTimeLoop()
    updates = Updates(WeightsSpec(), registry, registry.new_group, ask)
    snapshot = Snapshot(0)
    snapshot.fill([bucket(0, number) for number in range(BUCKETS)])
    try:
        loop.run_until_complete(updates.publish(snapshot))
    finally:
        loop.close()
    return updates


def test_the_pause_is_from_the_first_call_until_all_go_on() -> None:
    updates = published(SimulatedEngine(new_engine(0)))
    assert updates.pause_seconds == pytest.approx(CALLS * CALL_SECONDS)
    # Before it: the engine is asked whether it answers, and prepares.
    assert updates.seconds == pytest.approx((1 + CALLS) * CALL_SECONDS + PREPARATION)


def test_members_stay_paused_while_the_update_begins_again_without_one() -> None:
    """The second engine dies at the first bucket: the first one waits for a whole second try."""
    updates = published(
        SimulatedEngine(new_engine(0)), SimulatedEngine(new_engine(1), fails_at="receive")
    )
    calls = CALLS * CALL_SECONDS
    assert updates.pause_seconds > calls + PREPARATION
    assert updates.seconds > updates.pause_seconds + PREPARATION
