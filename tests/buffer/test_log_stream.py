"""The output of pods on its way through the buffer."""

from collections.abc import Callable, Iterator

import pytest

from rljob.buffer.log_stream import LogReceiver, LogSender, Output
from rljob.buffer.trainer import TrainerBuffer
from tests.buffer.conftest import JOB, KEYS
from tests.support.valkey import PROGRAMS, ValkeyServer
from tests.support.waiting import wait_for


@pytest.fixture
def send() -> Iterator[Callable[..., LogSender]]:
    made: list[LogSender] = []

    def make(server: ValkeyServer, member: str = "job-rollout-a") -> LogSender:
        made.append(LogSender(server.url, JOB, server.password, role="rollout", member=member))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


def receive(server: ValkeyServer) -> list[Output]:
    """What one trainer process after the other gets."""
    receiver = LogReceiver(server.url, JOB, server.password)
    found = receiver.fetch()
    receiver.close()
    return found


def texts(server: ValkeyServer) -> bytes:
    return b"".join(output.text for output in receive(server))


@pytest.mark.parametrize("program", PROGRAMS)
def test_lines_arrive_in_order_with_their_origin(program, tmp_path, send, make_trainer) -> None:
    with ValkeyServer(tmp_path, program=program) as server:
        make_trainer(server).start(0)
        sender = send(server)
        for number in range(3):
            sender.put(b"line %d\n" % number)
        wait_for(lambda: texts(server).count(b"\n") == 3, "three lines")
        (output, *_) = receive(server)
        assert (output.role, output.member) == ("rollout", "job-rollout-a")
        assert texts(server) == b"line 0\nline 1\nline 2\n"


def test_what_was_fetched_is_deleted_by_the_next_fetch_alone(
    server: ValkeyServer, trainer: TrainerBuffer, send
) -> None:
    """A trainer that dies in between has another fetch it."""
    send(server).put(b"once\n")
    wait_for(lambda: texts(server) == b"once\n", "it is there")
    receiver = LogReceiver(server.url, JOB, None)
    assert [output.text for output in receiver.fetch()] == [b"once\n"]
    assert texts(server) == b"once\n"
    assert receiver.fetch() == []
    assert texts(server) == b""
    receiver.close()


def test_lines_from_before_the_trainer_and_from_an_outage_are_kept(
    fragile_server: ValkeyServer, make_trainer, send
) -> None:
    sender = send(fragile_server)
    sender.put(b"early\n")
    trainer = make_trainer(fragile_server)
    trainer.start(0)
    wait_for(lambda: texts(fragile_server) == b"early\n", "the line from before")
    fragile_server.stop()
    assert receive(fragile_server) == []
    sender.put(b"meanwhile\n")
    fragile_server.restart(empty=True)
    assert trainer.lost()
    trainer.restore()
    wait_for(lambda: b"meanwhile\n" in texts(fragile_server), "the line from the outage")


def test_a_server_keeps_nothing_of_a_run_that_has_ended(
    server: ValkeyServer, trainer: TrainerBuffer, send
) -> None:
    sender = send(server)
    sender.put(b"first\n")
    wait_for(lambda: texts(server) == b"first\n", "it is there")
    trainer.destroy()
    sender.put(b"late\n")
    sender.close()
    with server.client() as client:
        assert client.keys() == []


def test_memory_is_bounded(server: ValkeyServer, trainer: TrainerBuffer, send) -> None:
    """Nobody fetches: the oldest go."""
    senders = [send(server, f"job-rollout-{n}") for n in range(4)]
    for sender in senders:
        for _ in range(300):
            sender.put(b"x" * 20_000 + b"\n")  # more than one entry has room for
    with server.client() as client:
        wait_for(lambda: client.xlen(KEYS["logs"]) == 256, "the stream is full", 30)
        assert client.memory_usage(KEYS["logs"], samples=0) < 6 * 2**20


def test_a_sender_that_is_full_goes_on(send, fragile_server: ValkeyServer) -> None:
    fragile_server.pause()
    sender = send(fragile_server)
    for _ in range(10_000):
        sender.put(b"line\n")
    fragile_server.resume()


def test_output_is_left_alone_by_a_trainer_that_restarts(
    server: ValkeyServer, make_trainer, send
) -> None:
    first = make_trainer(server)
    first.start(0)
    send(server).put(b"its last words\n")
    wait_for(lambda: texts(server) != b"", "it is there")
    make_trainer(server).start(0)
    assert texts(server) == b"its last words\n"
