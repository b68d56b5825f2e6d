"""A server that the user provides: its eviction, its users, its TLS."""

import re

import pytest
from structlog.testing import capture_logs

from rljob.buffer.connection import BufferUnavailable
from rljob.buffer.log_stream import LogReceiver, LogSender
from rljob.buffer.records import Occupancy
from rljob.buffer.trainer import TrainerBuffer
from rljob.errors import UsageError
from tests.buffer.conftest import JOB, Worker, completion, group, partial
from tests.cluster.certificate import Authority
from tests.project.metadata import ROOT
from tests.support.tls import TlsProxy
from tests.support.valkey import ValkeyServer
from tests.support.waiting import wait_for

DOCUMENT = ROOT / "docs" / "buffer.md"
RULE = re.compile(r"^ACL SETUSER (.*\\\n)*.*$", re.MULTILINE)


def use_all(trainer, worker):
    """Every method of both clients."""
    assert trainer.start(0) == 1
    worker.heartbeat(worker.engine, 60)
    trainer.set_version(0, [])
    trainer.set_engine_version("a/e", 0)
    trainer.admit([group(1, 1), group(2, 1, "evaluation")])
    assert trainer.engines() == worker.admissible_engines() == [worker.engine]
    first, second = worker.take(2)
    assert worker.renew([first, second]) == {1, 2}
    worker.release(second, partial(1))
    assert worker.complete(first, completion(first)) is True
    assert [done.group for done in trainer.collect(5)] == [2]
    assert trainer.collect(0.01) == []
    assert trainer.lost() is False
    trainer.restore()
    trainer.set_phase("finished")
    assert worker.wait(5) is True
    assert worker.state().phase == "finished"
    assert trainer.occupancy() == Occupancy(1, 0, 0)
    worker.retire("a/e")
    trainer.destroy()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_evicts_is_refused(tmp_path, make_trainer, policy):
    with ValkeyServer(tmp_path, extra=f"maxmemory-policy {policy}\n") as server:
        said = f"127.0.0.1:{server.port}: found maxmemory-policy {policy}, allowed noeviction"
        with pytest.raises(UsageError, match=said):
            make_trainer(server).start(0)


def test_a_server_that_does_not_tell_is_warned_of(fragile_server, make_trainer):
    with fragile_server.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-info")
    with capture_logs() as logs:
        trainer = make_trainer(fragile_server)
        trainer.start(0)
        trainer.admit([group(1, 1)])
    assert trainer.occupancy().waiting == 1
    assert [log["event"] for log in logs] == ["buffer.eviction_unknown"]
    assert trainer.memory() is None


def test_the_documented_rights_are_enough_and_reach_no_other_job(fragile_server, runner):
    rule = RULE.search(DOCUMENT.read_text())[0].replace("\\\n", " ")
    rule = rule.replace("NAMESPACE/NAME", JOB).replace("PASSWORD", "secret")
    with fragile_server.client() as client:
        client.execute_command(*rule.split())
        url = fragile_server.url.replace("redis://", "redis://rljob@")
        trainer = TrainerBuffer(url, JOB, "secret", patience_seconds=20)
        worker = Worker(runner, url, "a", password="secret")
        with capture_logs() as logs:
            use_all(trainer, worker)
            trainer.start(0)
            sender = LogSender(url, JOB, "secret", role="rollout", member="a")
            receiver = LogReceiver(url, JOB, "secret")
            sender.put(b"a line\n")
            wait_for(lambda: receiver.fetch() != [], "the line")
        assert logs == []
        assert client.acl_log() == []
        sender.close()
        receiver.close()
        other = TrainerBuffer(url, "team/other", "secret", patience_seconds=20)
        with pytest.raises(UsageError, match=r"refuses this user or password: .*permissions"):
            other.start(0)
        for each in (trainer, worker, other):
            each.close()


def test_tls_with_a_certificate_authority_of_ones_own(server, tmp_path, runner):
    authority = Authority(tmp_path)
    authority.issue("server", "valkey", addresses=("127.0.0.1",))
    with TlsProxy(server.port, tmp_path / "server.crt", tmp_path / "server.key") as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}/0"
        trusting = f"{url}?ssl_ca_certs={tmp_path}/ca.crt"
        trainer = TrainerBuffer(trusting, JOB, patience_seconds=20)
        worker = Worker(runner, trusting, "a")
        use_all(trainer, worker)
        stranger = TrainerBuffer(url, JOB, patience_seconds=0.1)
        with pytest.raises(BufferUnavailable, match="certificate verify failed"):
            stranger.start(0)
        for each in (trainer, worker, stranger):
            each.close()
