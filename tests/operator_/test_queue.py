"""The work queue: each key once at a time, in turn, with back-off."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rljob_operator.queue import LONGEST_BACKOFF, WorkQueue


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    return WorkQueue(clock, jitter=lambda: 1.0)


def taken(queue: WorkQueue) -> list[str]:
    """All keys that are due, each left in work."""
    found = []
    while (next_one := queue.take()) is not None:
        found.append(next_one[0])
    return found


def test_keys_come_in_turn_and_once(queue: WorkQueue, clock: Clock) -> None:
    for key in ("a", "b", "a", "c", "b"):
        queue.add(key)
        clock.now += 1
    assert len(queue) == 3
    assert queue.take() == ("a", 5.0)
    assert taken(queue) == ["b", "c"]
    assert len(queue) == 0


def test_a_key_in_work_comes_again_afterwards(queue: WorkQueue) -> None:
    queue.add("a")
    assert taken(queue) == ["a"]
    queue.add("a")
    queue.add("b")
    assert taken(queue) == ["b"]
    queue.done("a")
    assert taken(queue) == ["a"]


def test_the_earliest_delay_counts(queue: WorkQueue, clock: Clock) -> None:
    queue.add("a", 10)
    queue.add("a", 5)
    queue.add("a", 20)
    clock.now = 4.9
    assert taken(queue) == []
    clock.now = 5
    assert queue.take() == ("a", 0.0)
    queue.done("a")
    clock.now = 100
    assert taken(queue) == []


def test_a_change_does_not_wait_for_a_delay_nor_is_it_done_twice(
    queue: WorkQueue, clock: Clock
) -> None:
    queue.add("a", 10)
    queue.add("a")
    assert taken(queue) == ["a"]
    queue.done("a", requeue=7)
    clock.now = 6
    assert taken(queue) == []
    clock.now = 10
    assert taken(queue) == ["a"]


def test_failures_in_a_row_take_longer_and_longer(queue: WorkQueue, clock: Clock) -> None:
    delays = []
    queue.add("a")
    for _ in range(9):
        assert taken(queue) == ["a"]
        delays.append(queue.failed("a"))
        clock.now += delays[-1]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, LONGEST_BACKOFF]
    assert taken(queue) == ["a"]
    queue.done("a")
    queue.add("a")
    assert taken(queue) == ["a"]
    assert queue.failed("a") == 1


def test_nothing_cuts_a_back_off_short_but_that_the_job_is_another(
    queue: WorkQueue, clock: Clock
) -> None:
    queue.add("a")
    assert taken(queue) == ["a"]
    queue.add("a")
    assert queue.failed("a", at_least=30) == 30
    queue.add("a")
    queue.add("a", 3)
    clock.now = 29
    assert taken(queue) == []
    clock.now = 30
    assert taken(queue) == ["a"]
    queue.failed("a", at_least=30)
    queue.forget("a")
    queue.add("a")
    assert taken(queue) == ["a"]


def test_waiting_ends_with_a_change_or_a_delay() -> None:
    async def wait() -> tuple[str, str]:
        queue = WorkQueue()
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add("now")
        first, _ = await waiting
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add("later", 0.01)
        second, _ = await waiting
        return first, second

    assert asyncio.run(asyncio.wait_for(wait(), 30)) == ("now", "later")


KEYS = st.sampled_from("abcd")


class Work(RuleBasedStateMachine):
    """Nothing that was asked for is ever forgotten, and nothing is done twice at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue = WorkQueue(self.clock, jitter=lambda: 1.0)
        self.wanted: dict[str, float] = {}  # key to the time at which it has to be due
        self.held: dict[str, float] = {}  # key to the end of its back-off
        self.working: set[str] = set()

    @rule(key=KEYS, delay=st.sampled_from([0.0, 1.0, 5.0]))
    def add(self, key: str, delay: float) -> None:
        self.queue.add(key, delay)
        due = max(self.clock.now + delay, self.held.get(key, 0.0))
        self.wanted[key] = min(self.wanted.get(key, due), due)

    @rule(seconds=st.sampled_from([0.5, 1.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def take(self) -> None:
        found = self.queue.take()
        if found is None:
            return
        assert found[0] not in self.working
        assert found[1] >= 0
        assert self.held.pop(found[0], 0.0) <= self.clock.now
        self.working.add(found[0])
        self.wanted.pop(found[0], None)

    @precondition(lambda self: self.working)
    @rule(data=st.data(), requeue=st.sampled_from([None, 0.0, 2.0]))
    def done(self, data: st.DataObject, requeue: float | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.working)))
        self.queue.done(key, requeue)
        self.working.discard(key)
        if requeue is not None:
            due = self.clock.now + requeue
            self.wanted[key] = min(self.wanted.get(key, due), due)

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def failed(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.working)))
        self.wanted[key] = self.held[key] = self.clock.now + self.queue.failed(key)
        self.working.discard(key)

    @invariant()
    def what_is_due_is_handed_out(self) -> None:
        due = {key for key, at in self.wanted.items() if at <= self.clock.now}
        assert len(self.queue) >= len(due - self.working)


TestWork = Work.TestCase
TestWork.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
