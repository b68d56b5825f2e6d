"""A run that goes on from a checkpoint does what it would have done without stopping."""

import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from rljob_trainer.megatron.parallel import initialize
from rljob_trainer.megatron.policy import Policy
from tests.trainer.megatron.cases import make_job, make_trajectories
from tests.trainer.megatron.ranks import alone
from tests.trainer.models.tiny import make_checkpoint

OPTIMIZER = {
    "lr": 1e-2,
    "min_lr": 1e-3,
    "weight_decay": 0.01,
    "lr_decay_style": "linear",
    "lr_decay_steps": 6,
}
# Dropout makes the steps depend on the random states, too.
DROPOUT = {"hidden_dropout": 0.1, "attention_dropout": 0.1}
LAYOUTS: dict[str, dict[str, Any]] = {
    "data": {},
    "data, distributed optimizer": {"optimizer": {**OPTIMIZER, "use_distributed_optimizer": True}},
    "recompute": {"recompute": "full"},
    "tensor": {"parallelism": {"tensor": 2}},
}


def steps(policy: Policy, seeds: range) -> Any:
    reports = [policy.step(make_trajectories(seed=seed)) for seed in seeds]
    return reports, {name: tensor.clone() for name, tensor in policy.export()}


def stopped(job: Any, checkpoint: Path, directory: Path) -> Any:
    """Two steps, a save, and two more steps as if nothing had been."""
    policy = Policy(job, initialize(job), checkpoint)
    steps(policy, range(2))
    if torch.distributed.get_rank() == 0:
        directory.mkdir()
    torch.distributed.barrier()
    write = policy.capture(directory)
    later = steps(policy, range(2, 4))
    write()  # what was captured, not what has become of it since
    return later


def resumed(job: Any, checkpoint: Path, directory: Path) -> Any:
    policy = Policy(job, initialize(job), checkpoint)
    steps(policy, range(7, 8))  # a policy that has gone elsewhere
    policy.load(directory)
    return steps(policy, range(2, 4))


def make(checkpoint: Path, dtype: str = "float32", **trainer: Any) -> Any:
    return make_job(
        checkpoint,
        model={"checkpoint": str(checkpoint), "dtype": dtype},
        trainer={"optimizer": OPTIMIZER, "megatron": DROPOUT, **trainer},
    )


def assert_identical(found: Any, expected: Any) -> None:
    assert found[0] == expected[0]
    for name, tensor in expected[1].items():
        assert torch.equal(found[1][name], tensor), name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("layout", ["data", "data, distributed optimizer", "recompute"])
def test_one_rank_goes_on_bit_for_bit(layout: str, dtype: str, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "model")
    job = make(checkpoint, dtype, **LAYOUTS[layout])
    expected = alone(stopped, job, checkpoint, tmp_path / "saved")
    assert_identical(alone(resumed, job, checkpoint, tmp_path / "saved"), expected)


@pytest.mark.parametrize("layout", ["data", "data, distributed optimizer", "tensor"])
def test_two_ranks_go_on_bit_for_bit(layout: str, tmp_path: Path, two_ranks: Any) -> None:
    checkpoint = make_checkpoint(tmp_path / "model", vocab_size=33)
    job = make(checkpoint, gpusPerReplica=2, **LAYOUTS[layout])
    expected = two_ranks.run(stopped, job, checkpoint, tmp_path / "saved")
    found = two_ranks.run(resumed, job, checkpoint, tmp_path / "saved")
    for one, other in zip(found, expected, strict=True):
        assert_identical(one, other)


def test_one_rank_goes_on_from_two(tmp_path: Path, two_ranks: Any) -> None:
    checkpoint = make_checkpoint(tmp_path / "model")
    job = make(checkpoint, gpusPerReplica=2, megatron={}, parallelism={"tensor": 2})
    expected, _ = two_ranks.run(stopped, job, checkpoint, tmp_path / "saved")
    reports, _ = alone(resumed, make(checkpoint, megatron={}), checkpoint, tmp_path / "saved")
    for report, other in zip(reports, expected[0], strict=True):
        assert report == pytest.approx(other, abs=1e-5, rel=1e-4)


def saved_with_little_room(job: Any, checkpoint: Path, directory: Path) -> str:
    """Saves while no file may grow past 4 KiB, which fails as a full disk does: in write()."""
    policy = Policy(job, initialize(job), checkpoint)
    directory.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="not written") as failure:
            policy.capture(directory)()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return str(failure.value)


def test_a_disk_without_room_is_told(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "model")
    message = alone(saved_with_little_room, make(checkpoint), checkpoint, tmp_path / "saved")
    assert str(tmp_path / "saved") in message
    assert "File too large" in message
