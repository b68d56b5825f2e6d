"""Two jobs with the same name on one server: one of them gets an error, and no data is mixed."""

import shutil
from pathlib import Path

import pytest

from rljob.buffer.owner import Owner, owner_of
from rljob.buffer.trainer import FencedError
from rljob.errors import UsageError
from tests.buffer.conftest import KEYS, group

FIRST = Owner("1 /runs/a", "/runs/a on one")
SECOND = Owner("2 /runs/b", "/runs/b on two")


@pytest.fixture
def first(server, make_trainer, a):
    """A run whose engine holds its weights, with work."""
    first = make_trainer(server, owner=FIRST)
    first.start(0)
    a.heartbeat(a.engine, 60)
    first.set_version(0, [a.engine.id])
    first.admit([group(1, 1)])
    return first


def test_the_second_is_refused_and_the_first_goes_on(server, make_trainer, first, a) -> None:
    second = make_trainer(server, owner=SECOND)
    with pytest.raises(UsageError, match=r"job team/job is in use by another run: /runs/a on one"):
        second.start(7)
    with pytest.raises(UsageError, match="/runs/a on one"):
        second.destroy()
    assert not first.lost()
    assert [lease.group.id for lease in a.take()] == [1]


def test_it_is_refused_after_the_server_has_lost_the_first(server, make_trainer, first, a) -> None:
    with server.client() as client:
        client.flushall()
    a.heartbeat(a.engine, 60)
    first.restore()
    with pytest.raises(UsageError, match="/runs/a on one"):
        make_trainer(server, owner=SECOND).start(0)


def test_a_restart_of_the_same_run_is_let_through(server, make_trainer, first) -> None:
    assert make_trainer(server, owner=FIRST).start(1) == 2
    same = "incarnation 2, this one's is 1; it belongs to the same run"
    with pytest.raises(FencedError, match=same):
        first.set_phase("stopping")


def test_a_run_without_engines_is_told_who_has_taken_over(
    server, make_trainer, first, a, b
) -> None:
    a.retire(a.engine.id)
    # The second's own workers, which have no weights yet, are nobody's reason to refuse it.
    b.heartbeat(b.engine, 60)
    assert make_trainer(server, owner=SECOND).start(0) == 2
    with pytest.raises(
        FencedError, match=r"belongs to another run of the job team/job .*: /runs/b on two"
    ):
        first.set_phase("stopping")


def test_keys_without_an_owner_are_taken_over(server, make_trainer, trainer, a) -> None:
    """An earlier version wrote none: its run goes on with this one."""
    a.heartbeat(a.engine, 60)
    with server.client() as client:
        client.hdel(KEYS["state"], "run", "place")
    assert make_trainer(server, owner=FIRST).start(1) == 2


def test_a_directory_is_the_same_run_at_every_start_and_its_copy_another(tmp_path: Path) -> None:
    for name in ("run", "other"):
        (tmp_path / name).mkdir()
    run = owner_of(tmp_path / "run")
    assert owner_of(tmp_path / "run") == run
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    assert len({run.id, owner_of(tmp_path / "other").id, owner_of(tmp_path / "copy").id}) == 3
    assert str(tmp_path / "run") in run.place
