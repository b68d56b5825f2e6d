"""Checkpoints are there entirely or not at all."""

from pathlib import Path

import pytest

from rljob.errors import UsageError
from rljob_trainer.checkpoint import Checkpoints


def save(checkpoints: Checkpoints, rollout: int) -> None:
    partial = checkpoints.begin(rollout)
    (checkpoints.model_path(partial) / "weights").write_bytes(b"w" * rollout)
    checkpoints.commit(partial, {"rollout": rollout})


def test_latest_is_what_was_saved_last(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    assert checkpoints.latest() is None
    save(checkpoints, 9)
    save(checkpoints, 10)
    latest = checkpoints.latest()
    assert latest is not None
    assert latest.rollout == 10
    assert latest.state() == {"rollout": 10}
    assert (latest.model / "weights").read_bytes() == b"w" * 10


def test_only_the_last_ones_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    for rollout in (1, 2, 3):
        save(checkpoints, rollout)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000002", "step-000003"]


def test_unfinished_one_does_not_count(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    save(checkpoints, 1)
    checkpoints.begin(2)  # and the trainer is killed
    latest = checkpoints.latest()
    assert latest is not None
    assert latest.rollout == 1
    save(checkpoints, 2)  # the same batch again, after the restart
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-000001", "step-000002"]


def test_damaged_state_is_named(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    save(checkpoints, 1)
    (tmp_path / "step-000001" / "state.msgpack").write_bytes(b"")
    latest = checkpoints.latest()
    assert latest is not None
    with pytest.raises(UsageError, match=r"step-000001/state\.msgpack cannot be read"):
        latest.state()
