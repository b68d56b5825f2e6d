"""Any order of actions and failures of trainer and workers, against a model in memory.

Whatever happens, a group is never lost, never handed to the trainer twice, and its first
completion wins.
"""

import asyncio
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rljob.buffer.records import Lease, Occupancy
from rljob.buffer.trainer import TrainerBuffer
from tests.buffer.conftest import JOB, KEYS, Worker, completion, group, let_lapse
from tests.support.valkey import ValkeyServer

WORKERS = st.sampled_from(["a", "b"])


@dataclass
class Open:
    """A group that the trainer has admitted and not received."""

    kind: str
    owner: str | None = None
    place: str | None = None  # the entry of the owner's lease
    lapsed: bool = False
    known: bool = True  # to its owner: the reply of its lease was not lost
    winner: str | None = None  # completed by this worker
    attempts: int = 0  # leases that were not given back


@dataclass
class Model:
    open: dict[int, Open] = field(default_factory=dict)
    completed: list[int] = field(default_factory=list)  # in this order, not received
    received: list[int] = field(default_factory=list)
    version: int = 0
    versions: dict[str, int] = field(default_factory=lambda: {"a": 0, "b": 0})
    incarnation: int = 1

    def available(self, worker: str) -> set[int]:
        if self.versions.get(worker, -1) < self.version:
            return set()
        return {
            number
            for number, entry in self.open.items()
            if entry.winner is None
            and (entry.owner is None or entry.lapsed or (entry.owner == worker and not entry.known))
        }

    def forget_leases(self) -> None:
        for entry in self.open.values():
            entry.owner, entry.lapsed, entry.known, entry.winner = None, False, True, None
            entry.attempts = 0
        self.completed.clear()


class Exchange(RuleBasedStateMachine):
    def __init__(self, server: ValkeyServer) -> None:
        super().__init__()
        self.server = server
        self.client = server.client()
        self.client.flushall()
        self.runner = asyncio.Runner()
        self.workers = {name: Worker(self.runner, server.url, name) for name in ("a", "b")}
        self.leases: dict[str, list[Lease]] = {"a": [], "b": []}
        self.model = Model()
        self.next_id = 0
        self.trainer = TrainerBuffer(server.url, JOB)
        assert self.trainer.start(0) == 1
        self.trainer.set_version(0, ["a/e", "b/e"])

    def groups(self, numbers):
        return [group(n, self.model.incarnation, self.model.open[n].kind) for n in numbers]

    @rule(kinds=st.lists(st.sampled_from(["train", "evaluation"]), max_size=4))
    def admit(self, kinds):
        numbers = range(self.next_id, self.next_id + len(kinds))
        self.next_id += len(kinds)
        self.model.open.update({n: Open(kind) for n, kind in zip(numbers, kinds, strict=True)})
        self.trainer.admit(self.groups(numbers))

    @rule()
    def admit_again(self):
        self.trainer.admit(self.groups(self.model.open))

    @rule(worker=WORKERS, count=st.integers(1, 3), reply_is_lost=st.booleans())
    def lease(self, worker, count, reply_is_lost):
        available = self.model.available(worker)
        leases = self.workers[worker].take(count)
        taken = {lease.group.id for lease in leases}
        assert len(leases) == len(taken) == min(count, len(available))
        assert taken <= available
        if any(self.model.open[n].kind == "train" for n in taken):
            assert all(self.model.open[n].kind == "train" for n in available - taken)
        for lease in leases:
            entry = self.model.open[lease.group.id]
            entry.attempts += entry.owner != worker or entry.known
            assert lease.attempt == entry.attempts
            entry.owner, entry.place = worker, lease.entry
            entry.lapsed, entry.known = False, not reply_is_lost
            if reply_is_lost:
                self.workers[worker].buffer._owned.discard(lease.entry)
        if not reply_is_lost:
            self.leases[worker] += leases

    @rule()
    def time_passes(self):
        let_lapse(self.client)
        for entry in self.model.open.values():
            entry.lapsed = entry.owner is not None

    def owns(self, worker, lease):
        entry = self.model.open.get(lease.group.id)
        return entry is not None and (entry.owner, entry.place) == (worker, lease.entry)

    @rule(worker=WORKERS)
    def renew(self, worker):
        leases = self.leases[worker]
        expected = {lease.group.id for lease in leases if self.owns(worker, lease)}
        assert self.workers[worker].renew(leases) == expected
        for number in expected:
            self.model.open[number].lapsed = False

    @precondition(lambda self: any(self.leases.values()))
    @rule(data=st.data())
    def release(self, data):
        worker, lease = self.draw_lease(data)
        self.workers[worker].release(lease)
        if self.owns(worker, lease):
            entry = self.model.open[lease.group.id]
            entry.owner, entry.lapsed = None, False
            entry.attempts -= 1

    @precondition(lambda self: any(self.leases.values()))
    @rule(data=st.data())
    def complete(self, data):
        """Also what has lapsed, was given back, is done already, or is of an older incarnation."""
        worker, lease = self.draw_lease(data)
        entry = self.model.open.get(lease.group.id)
        first = self.is_current(lease) and entry is not None and entry.winner is None
        assert self.workers[worker].complete(lease, completion(lease, worker)) is first
        if first:
            entry.winner, entry.owner = worker, None
            self.model.completed.append(lease.group.id)

    def draw_lease(self, data):
        worker = data.draw(st.sampled_from([n for n, leases in self.leases.items() if leases]))
        return worker, data.draw(st.sampled_from(self.leases[worker]))

    def is_current(self, lease):
        return lease.group.incarnation == self.model.incarnation

    @rule(reply_is_lost=st.booleans())
    def collect(self, reply_is_lost):
        if reply_is_lost:
            self.trainer._read(0)
        received = [(entry.group, entry.worker) for entry in self.trainer.collect(0)]
        assert received == [(n, self.model.open[n].winner) for n in self.model.completed]
        for number, _ in received:
            del self.model.open[number]
            self.model.received.append(number)
        self.model.completed.clear()

    @rule(holders=st.sets(WORKERS))
    def publish(self, holders):
        self.model.version += 1
        self.model.versions = dict.fromkeys(holders, self.model.version)
        self.trainer.set_version(self.model.version, [f"{name}/e" for name in sorted(holders)])

    @rule(worker=WORKERS)
    def catch_up(self, worker):
        self.model.versions[worker] = self.model.version
        self.trainer.set_engine_version(f"{worker}/e", self.model.version)

    def a_millisecond_passes(self):
        """Streams name entries by it; no trainer and no server restarts within one."""
        seconds, micros = self.client.time()
        while self.client.time() < (seconds, micros + 1000):
            pass

    @rule()
    def the_trainer_restarts(self):
        self.trainer.close()
        self.a_millisecond_passes()
        self.trainer = TrainerBuffer(self.server.url, JOB)
        self.model.incarnation += 1
        assert self.trainer.start(0) == self.model.incarnation
        self.trainer.set_version(self.model.version, ["a/e", "b/e"])
        self.model.versions = {"a": self.model.version, "b": self.model.version}
        self.model.forget_leases()
        self.trainer.admit(self.groups(self.model.open))

    @rule()
    def the_server_loses_all(self):
        self.client.flushall()
        self.client.script_flush()
        self.a_millisecond_passes()
        assert self.trainer.lost() is True
        self.trainer.restore()
        self.model.forget_leases()
        self.trainer.admit(self.groups(self.model.open))

    @invariant()
    def nothing_is_lost(self):
        assert self.trainer.lost() is False
        waiting = [e for e in self.model.open.values() if e.winner is None and e.owner is None]
        leased = [e for e in self.model.open.values() if e.winner is None and e.owner is not None]
        assert self.trainer.occupancy() == Occupancy(
            len(waiting), len(leased), len(self.model.completed)
        )

    def teardown(self):
        """In the end every group that was ever admitted has reached the trainer, once."""
        self.catch_up("a")
        self.time_passes()
        for lease in self.workers["a"].take(1000):
            self.workers["a"].complete(lease, completion(lease))
        received = self.model.received + [entry.group for entry in self.trainer.collect(0)]
        assert sorted(received) == list(range(self.next_id))
        self.trainer.collect(0)
        assert self.client.hlen(KEYS["groups"]) == self.client.xlen(KEYS["samples"]) == 0
        for worker in self.workers.values():
            worker.close()
        self.runner.close()
        self.trainer.close()
        self.client.close()


def test_the_exchange_keeps_its_promise(shared_server):
    run_state_machine_as_test(
        lambda: Exchange(shared_server),
        settings=settings(max_examples=100, stateful_step_count=40, deadline=None),
    )
