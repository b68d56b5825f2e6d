"""The server stops, freezes, and returns with or without its data."""

import asyncio
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rljob.buffer.connection import BufferUnavailable
from rljob.buffer.records import Occupancy, RunState
from rljob.buffer.trainer import TrainerBuffer
from rljob.errors import UsageError
from tests.buffer.conftest import JOB, KEYS, Worker, completion, group
from tests.support.valkey import PROGRAMS, ValkeyServer, free_port


def cluster_node(directory: Path) -> ValkeyServer:
    return ValkeyServer(directory, extra=f"cluster-enabled yes\ncluster-port {free_port()}\n")


@pytest.fixture
def run(fragile_server, make_trainer, make_worker):
    """A trainer, and a worker that holds group 1 of two admitted ones."""
    trainer, worker = make_trainer(fragile_server), make_worker(fragile_server, "a")
    worker.heartbeat(worker.engine, 60)
    trainer.start(0)
    trainer.set_version(4, ["a/e"])
    trainer.admit([group(1, 1), group(2, 1)])
    (lease,) = worker.take()
    return trainer, worker, lease


def while_gone(come_back, *requests, event="buffer.unreachable"):
    """Results of requests that are made while the server is away, in threads of their own."""
    logs_seen = threading.Event()
    results = [None] * len(requests)

    def make(index):
        results[index] = requests[index]()

    threads = [threading.Thread(target=make, args=(i,)) for i in range(len(requests))]
    with capture_logs() as logs:
        for thread in threads:
            thread.start()
        # The server comes back once every client has noticed that it is gone.
        while sum(entry["event"] == event for entry in logs) < len(requests):
            assert any(thread.is_alive() for thread in threads)
            logs_seen.wait(0.01)
        come_back()
        for thread in threads:
            thread.join()
    assert sum(entry["event"] == "buffer.back" for entry in logs) == len(requests)
    return results


def test_that_it_was_away_is_told_once_and_so_is_that_it_is_back(fragile_server):
    told = []
    trainer = TrainerBuffer(
        fragile_server.url, JOB, tell=lambda event, message: told.append((event, message))
    )
    trainer.start(0)
    fragile_server.stop()
    while_gone(fragile_server.start, trainer.engines)
    trainer.close()
    address = fragile_server.url.removeprefix("redis://").partition("/")[0]
    assert [event for event, _ in told] == ["buffer.unreachable", "buffer.back"]
    assert told[0][1].startswith(f"the buffer {address} is unreachable: ")
    assert told[0][1].endswith("; retrying for 60 s")
    assert told[1][1].startswith(f"the buffer {address} is back after ")


def test_a_server_that_restarts_with_its_data_loses_nothing(fragile_server, run):
    trainer, worker, lease = run
    # While the disk is slow the server holds writes back for up to 2 s; those would be lost.
    with fragile_server.client() as client:
        client.execute_command("WAITAOF", 1, 0, 0)
    fragile_server.stop()
    first, admitted = while_gone(
        fragile_server.start,
        lambda: worker.complete(lease, completion(lease)),
        lambda: trainer.admit([group(3, 1)]),
    )
    assert first is True and admitted is None
    assert trainer.lost() is False
    assert [entry.group for entry in trainer.collect(5)] == [1]
    assert [lease.group.id for lease in worker.take(5)] == [2, 3]


def test_a_frozen_server_is_waited_for_and_nothing_happens_twice(fragile_server, run):
    trainer, worker, lease = run
    fragile_server.pause()
    first, _, collected = while_gone(
        fragile_server.resume,
        lambda: worker.complete(lease, completion(lease)),
        lambda: trainer.admit([group(3, 1)]),
        lambda: TrainerBuffer(fragile_server.url, JOB, patience_seconds=30).engines(),
    )
    assert first is True
    assert collected == [worker.engine]
    assert trainer.occupancy() == Occupancy(waiting=2, leased=0, ready=1)
    assert [entry.group for entry in trainer.collect(5)] == [1]
    assert trainer.collect(0) == []


def test_a_server_restarted_empty_is_restored(fragile_server, run):
    trainer, worker, lease = run
    fragile_server.restart(empty=True)
    assert worker.state() == RunState(0, -1, "starting")
    assert worker.take() == []
    assert worker.renew([lease]) == set()
    assert worker.complete(lease, completion(lease)) is False
    assert trainer.occupancy() == Occupancy(0, 0, 0)
    trainer.admit([group(3, 1)])  # changes nothing
    assert trainer.collect(0) == []
    assert trainer.lost() is True

    trainer.restore()
    assert trainer.lost() is True  # the groups are still missing
    trainer.admit([group(1, 1), group(2, 1), group(3, 1)])
    assert trainer.lost() is False
    assert worker.state() == RunState(1, 4, "running")
    assert worker.complete(lease, completion(lease)) is True  # generated before the loss
    assert [entry.group for entry in trainer.collect(5)] == [1]
    assert [lease.group.id for lease in worker.take(5)] == [2, 3]


def test_a_loss_between_receiving_and_acknowledging_hands_nothing_out_twice(fragile_server, run):
    trainer, worker, lease = run
    worker.complete(lease, completion(lease))
    assert [entry.group for entry in trainer.collect(5)] == [1]
    fragile_server.restart(empty=True)
    assert trainer.collect(0) == []
    assert trainer.lost() is True
    trainer.restore()
    trainer.admit([group(2, 1)])
    assert trainer.lost() is False
    assert worker.complete(lease, completion(lease)) is False
    (other,) = worker.take()
    assert worker.complete(other, completion(other)) is True
    assert trainer.occupancy() == Occupancy(waiting=0, leased=0, ready=1)


@pytest.mark.parametrize("key", ["state", "groups", "versions"])
def test_a_loss_of_any_part_is_noticed_and_mended(fragile_server, run, key):
    trainer, worker, _ = run
    assert trainer.lost() is False
    with fragile_server.client() as client:
        client.delete(KEYS[key])
    if key != "versions":
        assert trainer.lost() is True
    else:
        worker.heartbeat(worker.engine, 60)
        assert trainer.lost() is True
    trainer.restore()
    trainer.admit([group(1, 1), group(2, 1)])
    assert trainer.lost() is False
    assert worker.take(5) != []


def test_a_retired_engine_is_no_loss(fragile_server, run):
    trainer, worker, _ = run
    worker.retire(worker.engine.id)
    assert trainer.lost() is False


def test_a_server_restarted_with_older_data_is_brought_up_to_date(fragile_server, run):
    trainer, worker, _ = run
    with fragile_server.client() as client:
        older = client.dump(KEYS["state"]), client.dump(KEYS["versions"])
        trainer.set_version(5, [])
        client.restore(KEYS["state"], 0, older[0], replace=True)
        client.restore(KEYS["versions"], 0, older[1], replace=True)
    assert trainer.lost() is True
    trainer.restore()
    assert worker.take() == []  # its weights are those of version 4
    assert worker.state().version == 5


def test_a_waiting_worker_survives_a_restart(fragile_server, run):
    trainer, worker, _ = run
    worker.take(5)
    fragile_server.stop()

    def come_back():
        fragile_server.restart(empty=True)
        trainer.restore()

    (woken,) = while_gone(come_back, lambda: worker.wait(60))
    assert woken is True


def test_a_cancelled_lease_is_handed_out_by_the_next(trainer, a):
    async def cancelled_after(turns):
        task = asyncio.create_task(a.buffer.lease("a/e", 1))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    cancelled = 0
    for turns in range(40):  # any moment: before the request, on its way, after the reply
        trainer.admit([group(turns, 1)])
        taken = a.runner.run(cancelled_after(turns))
        if isinstance(taken, asyncio.CancelledError):
            cancelled += 1
            taken = a.take(5)
        assert [lease.group.id for lease in taken] == [turns]
    assert cancelled > 1


def test_patience_ends(runner):
    url = f"redis://127.0.0.1:{free_port()}/0"
    message = r"127\.0\.0\.1:\d+ not reachable for 0\.3 s: .*111"
    with pytest.raises(BufferUnavailable, match=message):
        TrainerBuffer(url, JOB, patience_seconds=0.3).start(0)
    worker = Worker(runner, url, "a", patience_seconds=0.3)
    with pytest.raises(BufferUnavailable, match=message):
        worker.take()


def test_a_wrong_password_is_the_users_mistake(tmp_path, runner):
    with ValkeyServer(tmp_path, password='right "one" \\') as server:
        right = TrainerBuffer(server.url, JOB, 'right "one" \\')
        assert right.start(0) == 1
        for password in (None, "wrong"):
            with pytest.raises(UsageError, match=f"127.0.0.1:{server.port} refuses this user"):
                TrainerBuffer(server.url, JOB, password).start(0)
            with pytest.raises(UsageError, match="refuses this user or password"):
                Worker(runner, server.url, "a", password=password).take()


def test_a_full_server_is_waited_for(fragile_server, run):
    trainer, worker, lease = run
    with fragile_server.client() as client:
        client.config_set("maxmemory", "1mb")
        (first,) = while_gone(
            lambda: client.config_set("maxmemory", "0"),
            lambda: worker.complete(lease, completion(lease)),
            event="buffer.full",
        )
    assert first is True
    assert [entry.group for entry in trainer.collect(5)] == [1]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_server_that_fails_over_is_waited_for(tmp_path, make_trainer, make_worker, program):
    with ValkeyServer(tmp_path, program=program) as server, server.client() as client:
        trainer, worker = make_trainer(server), make_worker(server, "a")
        trainer.start(0)
        trainer.set_version(0, ["a/e"])
        trainer.admit([group(1, 1)])
        (lease,) = worker.take()
        client.replicaof("127.0.0.1", free_port())  # which refuses writes
        first, _ = while_gone(
            lambda: client.replicaof("NO", "ONE"),
            lambda: worker.complete(lease, completion(lease)),
            lambda: trainer.admit([group(2, 1)]),
        )
        assert first is True
        assert [entry.group for entry in trainer.collect(5)] == [1]


def test_every_script_stays_within_one_cluster_slot(tmp_path, runner):
    with cluster_node(tmp_path) as server:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        trainer, worker = TrainerBuffer(server.url, JOB), Worker(runner, server.url, "a")
        trainer.start(0)
        worker.heartbeat(worker.engine, 60)
        trainer.set_version(0, [])
        trainer.set_engine_version("a/e", 0)
        trainer.admit([group(1, 1), group(2, 1, "evaluation")])
        first, second = worker.take(2)
        assert worker.renew([first, second]) == {1, 2}
        worker.release(second)
        assert worker.complete(first, completion(first)) is True
        assert [entry.group for entry in trainer.collect(5)] == [2]
        assert trainer.collect(0) == []
        assert trainer.lost() is False
        trainer.restore()
        trainer.set_phase("finished")
        assert trainer.engines() == [worker.engine]
        assert trainer.occupancy() == Occupancy(1, 0, 0)
        worker.retire("a/e")
        trainer.destroy()


def test_keys_on_another_node_of_a_cluster_are_the_users_mistake(tmp_path):
    with cluster_node(tmp_path / "1") as asked, cluster_node(tmp_path / "2") as owner:
        with asked.client() as first, owner.client() as second:
            slot = first.execute_command("CLUSTER", "KEYSLOT", KEYS["state"])
            first.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, slot - 1, slot + 1, 16383)
            second.execute_command("CLUSTER", "ADDSLOTS", slot)
            # Two nodes of the same age would otherwise argue about their epochs for long.
            second.execute_command("CLUSTER", "SET-CONFIG-EPOCH", 2)
            bus = second.config_get("cluster-port")["cluster-port"]
            first.execute_command("CLUSTER", "MEET", "127.0.0.1", owner.port, bus)
        # Until the nodes know each other the cluster is down, which is waited for.
        with pytest.raises(UsageError, match=f"keeps this job's keys elsewhere: .*{owner.port}"):
            TrainerBuffer(asked.url, JOB).start(0)


@pytest.mark.parametrize("key", ["", "team/{job}"])
def test_a_job_key_that_breaks_the_hash_tag_is_refused(key):
    with pytest.raises(UsageError, match="namespace/name without braces"):
        TrainerBuffer("redis://127.0.0.1:1/0", key)
