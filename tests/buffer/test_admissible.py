"""Which engines a router may send requests to."""

import pytest

from rljob.buffer.records import Engine

A = Engine(id="a/e", worker="a", url="http://127.0.0.1:1")
B = Engine(id="b/e", worker="b", url="http://127.0.0.1:2")


@pytest.fixture
def registered(a, b):
    a.heartbeat(A, 60)
    b.heartbeat(B, 60)


def test_none_before_the_first_weights(server, make_trainer, a, registered):
    assert a.admissible_engines() == []
    make_trainer(server).start(0)
    assert a.admissible_engines() == []


def test_those_that_hold_the_published_weights(trainer, a, registered):
    assert a.admissible_engines() == [A, B]
    trainer.set_version(1, ["b/e"])
    assert a.admissible_engines() == [B]
    trainer.set_engine_version("a/e", 1)
    assert a.admissible_engines() == [A, B]


def test_one_that_holds_them_but_is_not_registered_is_none(trainer, a, b):
    b.heartbeat(B, 60)
    assert a.admissible_engines() == [B]
    b.retire("b/e")
    assert a.admissible_engines() == []


def test_one_whose_heartbeat_has_lapsed_is_none(trainer, a, b):
    a.heartbeat(A, 0.001)
    b.heartbeat(B, 60)
    while (engines := a.admissible_engines()) != [B]:  # the server's clock decides
        assert engines == [A, B]


def test_a_phase_after_running_takes_none_away(trainer, a, registered):
    trainer.set_phase("stopping")
    assert a.admissible_engines() == [A, B]
