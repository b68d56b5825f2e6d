"""A server whose memory is full: adding waits, while renewing and removing still work."""

import dataclasses
import threading

import pytest
from structlog.testing import capture_logs

from rljob.buffer.connection import BufferUnavailable
from rljob.buffer.records import Occupancy, RunState
from tests.buffer.conftest import Worker, completion, group, partial
from tests.support.valkey import PROGRAMS, ValkeyServer

MEBI = 2**20


def large(number, size, kind="train"):
    return dataclasses.replace(group(number, 1, kind), prompt="x" * size)


def large_completion(lease, size):
    done = completion(lease)
    return dataclasses.replace(
        done, samples=(dataclasses.replace(done.samples[0], response="x" * size),)
    )


@pytest.fixture(params=PROGRAMS)
def small_server(request, tmp_path):
    """A server with 32 MiB of memory."""
    extra = f"maxmemory {32 * MEBI}\n"
    with ValkeyServer(tmp_path, extra=extra, program=request.param) as server:
        yield server


@pytest.fixture
def trainer(small_server, make_trainer):
    trainer = make_trainer(small_server)
    trainer.start(0)
    trainer.set_version(0, ["a/e"])
    return trainer


@pytest.fixture
def worker(small_server, make_worker):
    worker = make_worker(small_server, "a")
    worker.heartbeat(worker.engine, 60)
    return worker


def test_memory_and_its_limit_are_told(trainer):
    before = trainer.memory()
    trainer.admit([large(1, MEBI)])
    after = trainer.memory()
    assert before.limit == after.limit == 32 * MEBI
    assert MEBI < after.used - before.used < after.limit


def fill(server):
    """Leaves no memory for anything that needs some."""
    with server.client() as client:
        client.config_set("maxmemory", 1)


def make_room(server):
    with server.client() as client:
        client.config_set("maxmemory", 32 * MEBI)


def test_what_keeps_alive_or_takes_away_runs_in_a_full_server(small_server, trainer, worker):
    trainer.admit([group(number, 1) for number in range(4)])
    leases = worker.take(3)
    worker.complete(leases[0], completion(leases[0]))
    fill(small_server)
    worker.heartbeat(worker.engine, 60)
    assert worker.renew(leases[1:]) == {1, 2}
    worker.release(leases[2], partial(2))
    assert [lease.group.id for lease in worker.take(2)] == [2, 3]
    assert trainer.engines() == worker.admissible_engines() == [worker.engine]
    assert [done.group for done in trainer.collect(0)] == [0]
    assert trainer.collect(0) == []
    assert trainer.occupancy() == Occupancy(waiting=0, leased=3, ready=0)
    trainer.set_version(1, [])
    trainer.set_engine_version("a/e", 1)
    trainer.set_phase("stopping")
    assert worker.state() == RunState(1, 1, "stopping")
    assert trainer.lost() is False
    trainer.restore()
    worker.retire("a/e")
    assert trainer.start(1) == 2
    trainer.destroy()


def test_groups_leave_half_of_the_memory_to_what_comes_back(small_server, trainer, worker):
    """More groups than the server holds: nothing is lost, and all are done in the end."""
    groups = [large(number, 2 * MEBI) for number in range(20)]
    trainer.admit(groups)
    assert 0 < trainer.occupancy().waiting < 20
    assert trainer.lost() is False
    done = []
    while len(done) < len(groups):
        for lease in worker.take(4):
            assert worker.complete(lease, large_completion(lease, 2 * MEBI)) is True
        done += [each.group for each in trainer.collect(0)]
    assert done == list(range(20))
    with small_server.client() as client:
        assert client.info("stats")["evicted_keys"] == 0


def test_a_completion_waits_for_room_while_its_lease_is_renewed(small_server, trainer, worker):
    trainer.admit([group(1, 1)])
    (lease,) = worker.take()
    fill(small_server)
    results = []

    def complete():
        results.append(worker.complete(lease, completion(lease)))

    with capture_logs() as logs:
        thread = threading.Thread(target=complete)
        thread.start()
        while not any(entry["event"] == "buffer.full" for entry in logs):
            assert thread.is_alive()
            thread.join(0.01)
        assert trainer.collect(0) == []
        make_room(small_server)
        thread.join()
    assert results == [True]
    assert [done.group for done in trainer.collect(5)] == [1]


def test_groups_that_are_held_back_are_admitted_in_their_order(small_server, trainer, worker):
    trainer.admit([group(1, 1)])
    fill(small_server)
    trainer.admit([group(2, 1)])
    trainer.admit([group(3, 1), group(1, 1)])
    assert trainer.occupancy().waiting == 1
    make_room(small_server)
    assert trainer.collect(0) == []
    assert [lease.group.id for lease in worker.take(4)] == [1, 2, 3]


def test_a_server_that_stays_full_is_named(small_server, make_trainer, runner):
    trainer = make_trainer(small_server, patience_seconds=0.02)
    trainer.start(0)
    trainer.set_version(0, ["a/e"])
    trainer.admit([group(1, 1)])
    worker = Worker(runner, small_server.url, "a", patience_seconds=0.02)
    (lease,) = worker.take()
    fill(small_server)
    said = r"full for 0\.2 s: .*give it more memory \(spec\.buffer\.memory"
    with pytest.raises(BufferUnavailable, match=said):
        worker.complete(lease, completion(lease))
    assert trainer.start(1) == 2
    trainer.admit([group(2, 2)])
    with pytest.raises(BufferUnavailable, match=said):
        while True:
            trainer.collect(0)
    worker.close()
