"""Checkpoints exist completely or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest
import structlog.testing

from rljob.errors import UsageError
from rljob_trainer.checkpoints.checkpoint import POLICY, Checkpoints, pack


def save(checkpoints: Checkpoints, rollout: int) -> None:
    partial = checkpoints.begin(rollout, [POLICY])
    (partial / POLICY / "weights").write_bytes(b"w" * rollout)
    checkpoints.commit(partial, pack({"rollout": rollout}))


def test_newest_is_what_was_saved_last(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    assert checkpoints.newest() is None
    save(checkpoints, 9)
    save(checkpoints, 10)
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.rollout == 10
    assert newest.state() == {"rollout": 10}
    assert (newest.model / "weights").read_bytes() == b"w" * 10


def test_only_the_last_ones_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    for rollout in (1, 2, 3):
        save(checkpoints, rollout)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000002", "step-000003"]


def test_unfinished_one_does_not_count(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    save(checkpoints, 1)
    checkpoints.begin(2, [POLICY])  # and the trainer is killed
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.rollout == 1
    save(checkpoints, 2)  # the same batch again, after the restart
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-000001", "step-000002"]


def test_the_next_save_removes_an_unfinished_one_of_another_batch(tmp_path: Path) -> None:
    """A trainer that is killed while it stops leaves one that no interval would ever reach."""
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    checkpoints.begin(7, [POLICY])  # and the trainer is killed
    save(checkpoints, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000010"]


def cut(directory: Path) -> None:
    weights = directory / "megatron" / "weights"
    weights.write_bytes(weights.read_bytes()[:-1])


def flip(directory: Path) -> None:
    (directory / "megatron" / "weights").write_bytes(b"v" * 3)


def lose(directory: Path) -> None:
    (directory / "state.msgpack").unlink()


def add(directory: Path) -> None:
    (directory / "megatron" / "__1_0.distcp").write_bytes(b"of another one")


def forget(directory: Path) -> None:
    (directory / "checksums.json").unlink()


def confuse(directory: Path) -> None:
    noted = directory / "checksums.json"
    noted.write_text(noted.read_text().replace("sha256", "sha257", 1))


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut": (cut, "megatron/weights has 2 bytes, not 3"),
    "changed": (flip, "megatron/weights was changed"),
    "lost": (lose, "state.msgpack is missing"),
    "mixed": (add, "megatron/__1_0.distcp is not part of it"),
    "without checksums": (forget, "step-000003/checksums.json"),
    "with damaged checksums": (confuse, "checksums.json: "),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_one_is_set_aside_for_the_one_before(name: str, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=3)
    for rollout in (1, 2, 3):
        save(checkpoints, rollout)
    damage, reason = DAMAGES[name]
    damage(tmp_path / "step-000003")
    with structlog.testing.capture_logs() as logs:
        newest = checkpoints.newest()
    assert newest is not None
    assert newest.rollout == 2
    (entry,) = logs
    assert entry["event"] == "checkpoint.damaged"
    assert reason in entry["reason"]
    names = ["step-000001", "step-000002", "step-000003.damaged"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_with_no_whole_one_the_run_does_not_begin_anew(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    save(checkpoints, 2)
    save(checkpoints, 3)
    cut(tmp_path / "step-000002")
    flip(tmp_path / "step-000003")
    with pytest.raises(UsageError, match=r"no checkpoint is whole: step-000003: .* step-000002: "):
        checkpoints.newest()
    assert len(list(tmp_path.glob("step-*"))) == 2


def test_some_are_kept_for_good(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=1, keep_every=4)
    for rollout in (2, 4, 6, 8, 10):
        save(checkpoints, rollout)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["step-000004", "step-000008", "step-000010"]
