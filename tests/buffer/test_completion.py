"""Groups that are completed, and who may still complete them."""

import pytest

from rljob.buffer.records import Occupancy, RecordError
from rljob.buffer.trainer import FencedError
from tests.buffer.conftest import KEYS, completion, group, let_lapse, partial


def ids(completions):
    return [entry.group for entry in completions]


def test_a_completion_reaches_the_trainer_whole(trainer, a):
    trainer.admit([group(1, 1)])
    (lease,) = a.take()
    done = completion(lease)
    assert a.complete(lease, done) is True
    assert trainer.occupancy() == Occupancy(waiting=0, leased=0, ready=1)
    (received,) = trainer.collect(0)
    assert received.pack() == done.pack()
    assert trainer.occupancy() == Occupancy(waiting=0, leased=0, ready=0)


def test_each_completion_is_handed_out_once(trainer, a):
    trainer.admit([group(1, 1), group(2, 1)])
    for lease in a.take(2):
        a.complete(lease, completion(lease))
    assert ids(trainer.collect(0)) == [1, 2]
    assert trainer.collect(0) == []
    assert trainer.collect(0.01) == []


def test_what_was_handed_out_leaves_no_trace_in_the_server(server, trainer, a):
    trainer.admit([group(1, 1)])
    (lease,) = a.take()
    a.complete(lease, completion(lease))
    trainer.collect(0)
    trainer.collect(0)
    with server.client() as client:
        assert client.hlen(KEYS["groups"]) == 0
        assert client.xlen(KEYS["samples"]) == client.xlen(KEYS["train"]) == 0
        assert client.xpending(KEYS["train"], "workers")["pending"] == 0


def test_the_first_completion_wins_whoever_owns_the_lease(server, trainer, a, b):
    trainer.admit([group(1, 1)])
    (slow,) = a.take()
    with server.client() as client:
        let_lapse(client)
    (claimed,) = b.take()
    assert a.complete(slow, completion(slow, "a")) is True
    assert b.complete(claimed, completion(claimed, "b")) is False
    assert [entry.worker for entry in trainer.collect(0)] == ["a"]
    assert b.complete(claimed, completion(claimed, "b")) is False
    assert trainer.collect(0) == []
    assert b.renew([claimed]) == set()


def test_a_repeated_request_to_complete_stays_the_first(server, trainer, a):
    trainer.admit([group(1, 1)])
    (lease,) = a.take()
    script = a.buffer._scripts["complete"]
    arguments = [1, 1, "token", completion(lease).pack()]

    async def request():
        return await script(KEYS.all, arguments)

    assert [a.runner.run(request()) for _ in range(3)] == [1, 1, 1]
    assert ids(trainer.collect(0)) == [1]
    assert trainer.collect(0) == []


def test_completions_of_a_lost_reply_are_read_again(trainer, a):
    trainer.admit([group(1, 1), group(2, 1)])
    first, second = a.take(2)
    a.complete(first, completion(first))
    assert len(trainer._read(0)) == 1  # the server answered, the trainer never saw it
    a.complete(second, completion(second))
    assert ids(trainer.collect(0)) == [1, 2]


def test_collect_returns_as_soon_as_something_is_ready(trainer, a):
    trainer.admit([group(1, 1)])
    (lease,) = a.take()
    a.complete(lease, completion(lease))
    assert ids(trainer.collect(60)) == [1]  # the test's time limit is the assertion


def test_a_completion_brought_back_by_an_older_copy_of_the_data_is_not_handed_out(
    server, trainer, a
):
    trainer.admit([group(1, 1)])
    (lease,) = a.take()
    with server.client() as client:
        before = {key: client.dump(key) for key in KEYS.all if client.exists(key)}
        a.complete(lease, completion(lease, "a"))
        assert ids(trainer.collect(0)) == [1]
        assert trainer.collect(0) == []
        for key, value in before.items():
            client.restore(key, 0, value, replace=True)
        assert a.complete(lease, completion(lease, "again")) is True
        assert trainer.collect(0) == []
        trainer.collect(0)
        assert client.hlen(KEYS["groups"]) == client.xlen(KEYS["samples"]) == 0


def test_a_new_incarnation_starts_empty_and_refuses_the_old_ones_writes(
    server, trainer, make_trainer, a, b
):
    trainer.admit([group(1, 1), group(2, 1), group(3, 1)])
    first, second = a.take(2)
    a.complete(first, completion(first))
    a.heartbeat(a.engine, 60)
    newer = make_trainer(server)
    assert newer.start(0) == 2
    assert newer.occupancy() == Occupancy(0, 0, 0)
    assert newer.engines() == [a.engine]
    newer.set_version(5, ["a/e", "b/e"])
    newer.admit([group(2, 2)])  # the same group as in the old trainer's ledger
    assert a.complete(second, completion(second, "old")) is False
    assert a.renew([second]) == set()
    (lease,) = b.take(5)
    assert lease.group.incarnation == 2
    assert b.complete(lease, completion(lease, "new")) is True
    assert [entry.worker for entry in newer.collect(0)] == ["new"]


def test_a_trainer_that_was_superseded_is_told(server, trainer, make_trainer, a):
    trainer.admit([group(1, 1)])
    newer = make_trainer(server)
    newer.start(0)
    newer.set_version(0, ["a/e"])
    newer.admit([group(1, 2)])
    (lease,) = a.take()
    a.complete(lease, completion(lease))
    for write in (
        lambda: trainer.admit([group(9, 1)]),
        lambda: trainer.set_version(9, ["a/e"]),
        lambda: trainer.set_engine_version("a/e", 9),
        lambda: trainer.set_phase("finished"),
        lambda: trainer.collect(0),
        trainer.lost,
        trainer.restore,
    ):
        with pytest.raises(FencedError, match="incarnation 2, this one's is 1"):
            write()
    assert a.state().version == 0 and a.state().phase == "running"
    assert ids(newer.collect(0)) == [1]


def test_incarnations_grow_above_the_stored_one_and_the_floor(server, make_trainer):
    trainer = make_trainer(server)
    assert [trainer.start(0), trainer.start(0), trainer.start(10), trainer.start(3)] == [
        1,
        2,
        11,
        12,
    ]


def test_a_repeated_request_to_start_is_the_same_start(server, trainer):
    trainer._call("start", 0, "token", "", "")
    trainer._call("start", 0, "token", "", "")
    assert trainer._call("start", 0, "other", "", "") == 3


def test_a_record_of_another_schema_stops_the_trainer_and_is_not_lost(server, trainer, a):
    trainer.admit([group(1, 1)])
    (lease,) = a.take()
    a.complete(lease, completion(lease))
    with server.client() as client:
        client.xadd(KEYS["samples"], {"completion": b"\x09"})
        for _ in range(2):
            with pytest.raises(RecordError, match="schema 9"):
                trainer.collect(0)
        assert client.xlen(KEYS["samples"]) == 2


def test_destroy_leaves_nothing(server, trainer, a):
    trainer.admit([group(1, 1), group(2, 1, "evaluation")])
    (lease,) = a.take()
    a.complete(lease, completion(lease))
    (begun,) = a.take()
    a.release(begun, partial(2))
    a.heartbeat(a.engine, 60)
    with server.client() as client:
        assert {key.decode() for key in client.scan_iter()} == set(KEYS.all)
        trainer.destroy()
        assert client.dbsize() == 0
