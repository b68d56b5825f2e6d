"""Groups that are leased to workers."""

import asyncio

import pytest

from rljob.buffer.records import Engine, Occupancy, RunState
from tests.buffer.conftest import KEYS, completion, group, let_lapse, partial


def ids(leases):
    return [lease.group.id for lease in leases]


def test_a_group_is_leased_once_with_all_that_it_holds(trainer, a, b):
    trainer.admit([group(7, 1)])
    (lease,) = a.take(5)
    assert lease.group.pack() == group(7, 1).pack()
    assert b.take(5) == []
    assert trainer.occupancy() == Occupancy(waiting=0, leased=1, ready=0)


def test_groups_are_leased_in_the_order_of_admission_evaluation_first(trainer, a, b):
    trainer.admit([group(3, 1), group(1, 1), group(4, 1, "evaluation")])
    trainer.admit([group(2, 1, "evaluation")])
    assert ids(a.take(3)) == [4, 2, 3]
    assert ids(b.take(3)) == [1]


def test_admitting_again_changes_nothing(trainer, a):
    trainer.admit([group(1, 1)])
    trainer.admit([group(1, 1), group(2, 1)])
    assert ids(a.take(9)) == [1, 2]
    assert trainer.occupancy() == Occupancy(waiting=0, leased=2, ready=0)


def test_many_groups_pass_in_one_call(trainer, a):
    trainer.admit(group(number, 1) for number in range(1000))
    assert ids(a.take(2000)) == list(range(1000))


def test_an_engine_leases_only_with_the_published_weights(server, make_trainer, a, b):
    trainer = make_trainer(server)
    trainer.start(0)
    trainer.admit([group(1, 1), group(2, 1), group(3, 1)])
    assert a.take() == []  # nothing published
    trainer.set_version(0, ["a/e"])
    assert ids(a.take()) == [1]
    assert b.take() == []  # not among those that hold it
    trainer.set_version(1, ["b/e"])
    assert a.take() == []  # older than the published
    assert ids(b.take()) == [2]
    trainer.set_engine_version("a/e", 1)
    assert ids(a.take()) == [3]


def test_versions_of_engines_that_are_gone_take_no_room(server, trainer):
    for version in range(1, 20):
        trainer.set_version(version, [f"a/{version}"])
    with server.client() as client:
        assert client.hgetall(KEYS["versions"]) == {b"a/19": b"19"}


def test_an_old_publication_that_comes_late_brings_no_old_version_back(trainer, a):
    trainer.set_version(2, ["a/e"])
    trainer.set_version(1, ["b/e"])
    trainer.set_engine_version("a/e", 1)
    trainer.admit([group(1, 1)])
    assert a.state() == RunState(incarnation=1, version=2, phase="running")
    assert ids(a.take()) == [1]


@pytest.mark.parametrize("phase", ["starting", "stopping", "finished"])
def test_groups_are_leased_only_while_the_run_is_running(trainer, a, phase):
    trainer.admit([group(1, 1)])
    trainer.set_phase(phase)
    assert a.take() == []
    assert a.state() == RunState(incarnation=1, version=0, phase=phase)
    trainer.set_phase("running")
    assert ids(a.take()) == [1]


def test_the_state_of_an_unknown_run(server, a):
    assert a.state() == RunState(incarnation=0, version=-1, phase="starting")
    assert a.take() == []


def test_a_lapsed_lease_goes_to_another_before_fresh_groups(server, trainer, a, b):
    trainer.admit([group(1, 1), group(2, 1)])
    (lapsed,) = a.take()
    with server.client() as client:
        let_lapse(client)
    assert ids(b.take(2)) == [1, 2]
    assert a.renew([lapsed]) == set()


def test_a_lease_lapses_by_time_and_not_before(server, trainer, make_worker, b):
    trainer.admit([group(1, 1)])
    brief = make_worker(server, "b", lease_seconds=0.2)
    assert ids(b.take()) == [1]
    assert brief.take() == []
    while not (taken := brief.take()):  # the server's clock decides; the test's own limit bounds
        brief.wait(0.05)
    assert ids(taken) == [1]


def test_a_renewed_lease_does_not_lapse(server, trainer, a, b):
    trainer.admit([group(1, 1), group(2, 1)])
    leases = a.take(2)
    with server.client() as client:
        let_lapse(client)
    assert a.renew(leases[:1]) == {1}
    assert ids(b.take(2)) == [2]
    assert a.renew(leases) == {1}
    assert a.renew([]) == set()


def test_a_lease_given_back_is_at_once_for_others(trainer, a, b):
    trainer.admit([group(1, 1), group(2, 1)])
    first, _ = a.take(2)
    a.release(first)
    assert trainer.occupancy() == Occupancy(waiting=1, leased=1, ready=0)
    assert a.renew([first]) == set()
    assert ids(b.take(2)) == [1]
    assert trainer.occupancy() == Occupancy(waiting=0, leased=2, ready=0)


def test_giving_back_what_another_has_claimed_changes_nothing(server, trainer, a, b):
    trainer.admit([group(1, 1)])
    (lapsed,) = a.take()
    with server.client() as client:
        let_lapse(client)
    (claimed,) = b.take()
    a.release(lapsed)
    assert b.renew([claimed]) == {1}


def test_a_lease_whose_reply_was_lost_is_handed_out_again(server, trainer, a, b):
    trainer.admit([group(1, 1), group(2, 1), group(3, 1)])
    known = a.take()
    lost = a.take()
    a.buffer._owned.remove(lost[0].entry)  # as after a reply that did not arrive
    assert ids(b.take()) == [3]
    assert ids(a.take(3)) == [2]
    assert a.renew(known + lost) == {1, 2}
    assert a.take(3) == []


def test_a_restarted_worker_does_not_own_its_predecessors_leases(server, trainer, a, make_worker):
    trainer.admit([group(1, 1)])
    leases = a.take()
    successor = make_worker(server, "a")
    assert successor.take() == []
    assert successor.renew(leases) == set()
    assert a.renew(leases) == {1}


def test_concurrent_requests_of_one_worker_share_out(trainer, a):
    trainer.admit(group(number, 1) for number in range(20))

    async def race():
        return await asyncio.gather(*(a.buffer.lease("a/e", 3) for _ in range(10)))

    taken = [number for leases in a.runner.run(race()) for number in ids(leases)]
    assert sorted(taken) == list(range(20))


@pytest.mark.parametrize(
    "change",
    [
        lambda trainer, other: trainer.admit([group(2, 1)]),
        lambda trainer, other: trainer.set_version(1, []),
        lambda trainer, other: trainer.set_engine_version("a/e", 1),
        lambda trainer, other: trainer.set_phase("finished"),
        lambda trainer, other: trainer.start(0),
        lambda trainer, other: other.buffer.release(other.held),
    ],
    ids=["admit", "publish", "catch up", "phase", "start", "release"],
)
@pytest.mark.parametrize("moment", ["before", "during"])
def test_every_change_ends_the_wait(trainer, a, b, change, moment):
    trainer.admit([group(1, 1)])
    (b.held,) = b.take()
    assert a.take() == []
    assert a.wait(0) is False

    async def scenario():
        waiting = None
        if moment == "during":
            waiting = asyncio.create_task(a.buffer.wait(60))
            await asyncio.sleep(0)
        changing = change(trainer, b)
        if asyncio.iscoroutine(changing):
            await changing
        # "before": after the look, before the wait. The wake-up must not be lost.
        return await (waiting or a.buffer.wait(60))

    assert a.runner.run(scenario()) is True
    a.take()
    assert a.wait(0) is False


def test_the_wake_up_stream_does_not_grow(server, trainer):
    for number in range(50):
        trainer.admit([group(number, 1)])
    with server.client() as client:
        assert client.xlen(KEYS["wake"]) == 1


def test_engines_live_by_their_heartbeat(server, trainer, a, b):
    assert trainer.engines() == []
    b.heartbeat(b.engine, 60)
    a.heartbeat(a.engine, 60)
    a.heartbeat(Engine("a/old", "a", "http://127.0.0.1:2"), 0)
    assert trainer.engines() == [a.engine, b.engine]
    with server.client() as client:
        assert client.hlen(KEYS["engines"]) == 2  # the dead one takes no room
    a.retire(a.engine.id)
    assert trainer.engines() == [b.engine]
    trainer.admit([group(1, 1)])
    assert a.take() == []  # retired, it holds no version any more
    assert ids(b.take()) == [1]


def test_the_completion_must_be_the_leases(trainer, a):
    trainer.admit([group(1, 1), group(2, 1)])
    first, second = a.take(2)
    with pytest.raises(ValueError, match="completion of 2 for the lease of 1"):
        a.complete(first, completion(second))


def test_an_engine_tells_its_load_with_its_heartbeat(trainer, a):
    engine = Engine("a/e", "a", "http://127.0.0.1:1", groups=3, busy_seconds=1.5)
    a.heartbeat(engine, 60)
    (found,) = [each for each in trainer.engines() if each.id == "a/e"]
    assert (found.groups, found.busy_seconds) == (3, 1.5)
    assert found == Engine("a/e", "a", "http://127.0.0.1:1")  # another load, the same engine


def test_each_engine_gets_its_part_however_much_the_first_asks_for(
    server, trainer, a, b, make_worker
):
    workers = [a, b, make_worker(server, "c")]
    trainer.set_version(1, [worker.engine.id for worker in workers])
    for worker in workers:
        worker.heartbeat(worker.engine, 60)
    trainer.admit(group(number, 1) for number in range(11))
    assert [len(worker.take(64)) for worker in workers] == [4, 4, 3]


def test_groups_do_not_wait_for_an_engine_that_never_asks(trainer, a, b):
    for worker in (a, b):
        worker.heartbeat(worker.engine, 60)
    trainer.admit(group(number, 1) for number in range(6))
    taken = [len(a.take(64)) for _ in range(5)]
    assert taken == [3, 1, 1, 1, 0]
    assert b.take(64) == []


def test_attempts_count_the_workers_that_were_lost(server, trainer, a, b):
    trainer.admit([group(1, 1)])
    (first,) = a.take()
    assert first.attempt == 1
    with server.client() as client:
        let_lapse(client)
    (second,) = b.take()
    assert second.attempt == 2


def test_a_lease_given_back_is_no_attempt(trainer, a, b):
    trainer.admit([group(1, 1)])
    for _ in range(3):
        (lease,) = a.take()
        assert lease.attempt == 1
        a.release(lease)
    assert b.take()[0].attempt == 1


def test_what_was_generated_goes_on_to_the_next_worker(server, trainer, a, b):
    trainer.admit([group(1, 1), group(2, 1)])
    first, second = a.take(2)
    assert (first.partial, second.partial) == (None, None)
    a.release(first, partial(1))
    (again,) = b.take()
    assert again.partial.pack() == partial(1).pack()
    b.release(again)  # with nothing new, the old counts
    (again,) = b.take()
    assert again.partial.pack() == partial(1).pack()
    b.complete(again, completion(again))
    a.complete(second, completion(second))
    with server.client() as client:
        assert not client.exists(KEYS["partials"])


def test_a_new_trainer_begins_without_what_was_generated_for_the_old_one(
    server, make_trainer, trainer, a
):
    trainer.admit([group(1, 1)])
    (lease,) = a.take()
    a.release(lease, partial(1))
    newer = make_trainer(server)
    newer.start(0)
    newer.set_version(0, ["a/e"])
    newer.admit([group(1, 2)])
    assert a.take()[0].partial is None
