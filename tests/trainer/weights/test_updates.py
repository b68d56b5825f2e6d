"""Updates with engines that join, die, hang and return at any moment, in virtual time."""

import asyncio
from typing import Any

import hypothesis.strategies as st
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rljob.api.weights import WeightsSpec
from rljob.buffer.records import Engine
from rljob_trainer.weights.snapshot import Snapshot
from rljob_trainer.weights.updates import Updates
from tests.trainer.weights.simulation import (
    BUCKETS,
    EXPIRY_SECONDS,
    TIMEOUT,
    SimulatedEngine,
    SimulatedRegistry,
    bucket,
)
from tests.trainer.weights.virtual_time import VirtualTimeLoop

CALLS = st.sampled_from(["recover", "pause", "begin", "receive", "end", "resume"])
# An update and, once for each engine that fails in it, another; and what the rest takes.
_EACH_FAILURE_SECONDS = TIMEOUT + EXPIRY_SECONDS
_QUIET_SECONDS = 130.0  # longer than the longest pause before an engine is tried again


class Machine(RuleBasedStateMachine):
    """The real state machine and its calls; engines, registry and clock are simulated."""

    @initialize()
    def begin(self) -> None:
        self.loop = VirtualTimeLoop()
        self.registry = SimulatedRegistry()
        self.updates = Updates(WeightsSpec(), self.registry, self.registry.new_group, ask)
        self.attendance = self.loop.create_task(self.updates.attend())
        self.everyone: list[SimulatedEngine] = []
        self.next_version = 0
        self.publication: asyncio.Task[int] | None = None

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.pass_time(1.0)
            self.loop.close()

    @rule(fails_at=st.one_of(st.just(""), CALLS), hangs_at=st.one_of(st.just(""), CALLS))
    @precondition(lambda self: len(self.registry.engines_by_id) < 4)
    def an_engine_comes(self, fails_at: str, hangs_at: str) -> None:
        self.add(fails_at=fails_at, hangs_at=hangs_at)

    @rule(data=st.data())
    @precondition(lambda self: self.registry.engines_by_id)
    def an_engine_dies(self, data: st.DataObject) -> None:
        one = self.choose(data)
        one.alive = False
        self.loop.call_later(EXPIRY_SECONDS, self.registry.engines_by_id.pop, one.engine.id, None)

    @rule(data=st.data())
    @precondition(lambda self: self.registry.engines_by_id)
    def an_engine_hangs_and_is_retired(self, data: st.DataObject) -> None:
        one = self.choose(data)
        one.hangs = True
        self.loop.call_later(EXPIRY_SECONDS, self.registry.engines_by_id.pop, one.engine.id, None)

    @rule(data=st.data(), call=CALLS, dies=st.booleans())
    @precondition(lambda self: self.registry.engines_by_id)
    def an_engine_will_fail(self, data: st.DataObject, call: str, dies: bool) -> None:
        one = self.choose(data)
        if dies:
            one.fails_at = call
        else:
            one.hangs_at = call

    @rule(data=st.data())
    @precondition(lambda self: any(one.hangs for one in self.everyone))
    def a_hanging_engine_wakes_up_under_another_id(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([one for one in self.everyone if one.hangs]))
        self.registry.engines_by_id.pop(one.engine.id, None)
        one.hangs = False
        one.engine = new_engine(len(self.everyone))
        self.everyone.append(one)
        self.registry.engines_by_id[one.engine.id] = one

    @rule(seconds=st.sampled_from([0.01, 0.05, 0.3, 5.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)

    @rule(gathering=st.sampled_from([0.0, 0.02, 3.0]))
    @precondition(lambda self: self.publication is None)
    def an_update_begins(self, gathering: float) -> None:
        snapshot = Snapshot(self.next_version)
        self.next_version += 1
        buckets = [bucket(snapshot.version, number) for number in range(BUCKETS)]
        self.loop.call_later(gathering, snapshot.fill, buckets)
        self.publication = self.loop.create_task(self.updates.publish(snapshot))

    @rule()
    @precondition(lambda self: self.publication is not None)
    def the_update_ends_if_any_engine_is_left(self) -> None:
        assert self.publication is not None
        if not any(
            one.alive and not one.hangs and not one.fails_at and not one.hangs_at
            for one in self.registry.engines_by_id.values()
        ):
            self.add()  # training waits for one, however long
        begun = self.loop.time()
        bound = _EACH_FAILURE_SECONDS * (1 + len(self.registry.engines_by_id)) + 70
        while not self.publication.done():
            assert self.loop.time() - begun < bound, "the update hangs"
            self.pass_time(0.5)
        assert self.publication.result() == self.registry.version == self.next_version - 1
        assert self.registry.versions  # somebody had it, who may have gone since
        self.publication = None

    @rule()
    @precondition(lambda self: self.publication is None and self.next_version > 0)
    def in_the_end_every_sound_engine_works(self) -> None:
        for one in list(self.registry.engines_by_id.values()):
            one.fails_at = one.hangs_at = ""
            if not one.alive or one.hangs:
                self.registry.engines_by_id.pop(one.engine.id)
        self.pass_time(_QUIET_SECONDS)
        assert self.registry.admitted() == list(self.registry.engines_by_id.values())

    @invariant()
    def who_is_admitted_holds_exactly_the_published_version(self) -> None:
        for one in self.registry.admitted() if hasattr(self, "registry") else []:
            # One that takes part in the next update is paused; it generates nothing meanwhile.
            assert one.paused or (one.is_whole and one.version == self.registry.version)

    @invariant()
    def nothing_is_wrong(self) -> None:
        if hasattr(self, "everyone"):
            assert [wrong for one in self.everyone for wrong in one.wrongs] == []
            assert not self.attendance.done()

    def add(self, **faults: Any) -> None:
        one = SimulatedEngine(new_engine(len(self.everyone)), **faults)
        self.everyone.append(one)
        self.registry.engines_by_id[one.engine.id] = one

    def choose(self, data: st.DataObject) -> SimulatedEngine:
        id_ = data.draw(st.sampled_from(sorted(self.registry.engines_by_id)))
        return self.registry.engines_by_id[id_]

    def pass_time(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))


async def ask(request: Any) -> Any:
    """A request to the registry, which answers at once."""
    return request()


def new_engine(number: int) -> Engine:
    return Engine(f"rollout-{number % 3}/{number:04}", f"rollout-{number % 3}", "http://nowhere")


TestUpdates = Machine.TestCase
TestUpdates.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
