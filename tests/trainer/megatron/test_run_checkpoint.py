"""A run resumed from a checkpoint does what it would have done without stopping."""

import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from rljob_trainer.megatron.parallel import initialize
from tests.trainer.megatron.cases import make_job, make_trajectories
from tests.trainer.megatron.policy import Policy
from tests.trainer.megatron.ranks import Ranks, alone
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
    "sgd": {"optimizer": {**OPTIMIZER, "optimizer": "sgd"}},
    "rate of embeddings": {"optimizer": {**OPTIMIZER, "decoupled_lr": 1e-3}},
    "recompute": {"recompute": "full"},
    "tensor": {"parallelism": {"tensor": 2}},
    "pipeline": {"parallelism": {"pipeline": 2}},
    "interleaved pipeline, distributed optimizer": {
        "parallelism": {"pipeline": 2, "virtualPipeline": 2},
        "optimizer": {**OPTIMIZER, "use_distributed_optimizer": True},
    },
}

LAYOUTS_OF_TWO: dict[str, dict[str, Any]] = {
    "data": {},
    "tensor": {"tensor": 2},
    "pipeline": {"pipeline": 2},
    "interleaved pipeline": {"pipeline": 2, "virtualPipeline": 2},
}


def steps(policy: Policy, seeds: range) -> Any:
    reports = [policy.step(make_trajectories(seed=seed)) for seed in seeds]
    return reports, {name: tensor.clone() for name, tensor in policy.export()}


def stopped(job: Any, checkpoint: Path, directory: Path, count: int = 2) -> Any:
    """So many steps, a save, and two more steps as if nothing had been."""
    policy = Policy(job, initialize(job), checkpoint)
    steps(policy, range(count))
    if torch.distributed.get_rank() == 0:
        directory.mkdir()
    torch.distributed.barrier()
    write = policy.capture(directory)
    later = steps(policy, range(count, count + 2))
    write()  # what was captured, not what has become of it since
    return later


def resumed(job: Any, checkpoint: Path, directory: Path, count: int = 2) -> Any:
    """Two steps after a load into a policy that has made none, as when a job is started again."""
    policy = Policy(job, initialize(job), checkpoint)
    policy.load(directory)
    return steps(policy, range(count, count + 2))


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


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "layout", ["data", "data, distributed optimizer", "sgd", "rate of embeddings"]
)
def test_another_process_goes_on_bit_for_bit(
    layout: str, dtype: str, count: int, tmp_path: Path, other_process: Ranks
) -> None:
    checkpoint = make_checkpoint(tmp_path / "model")
    job = make(checkpoint, dtype, **LAYOUTS[layout])
    expected = alone(stopped, job, checkpoint, tmp_path / "saved", count)
    (found,) = other_process.run(resumed, job, checkpoint, tmp_path / "saved", count)
    assert_identical(found, expected)


def test_recomputed_layers_go_on_bit_for_bit(tmp_path: Path, other_process: Ranks) -> None:
    checkpoint = make_checkpoint(tmp_path / "model")
    job = make(checkpoint, **LAYOUTS["recompute"])
    expected = alone(stopped, job, checkpoint, tmp_path / "saved")
    (found,) = other_process.run(resumed, job, checkpoint, tmp_path / "saved")
    assert_identical(found, expected)


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize(
    "layout",
    [
        "data",
        "data, distributed optimizer",
        "tensor",
        "pipeline",
        "interleaved pipeline, distributed optimizer",
    ],
)
def test_two_ranks_go_on_bit_for_bit(
    layout: str, count: int, tmp_path: Path, two_ranks: Ranks
) -> None:
    checkpoint = make_checkpoint(tmp_path / "model", vocab_size=33, num_hidden_layers=4)
    job = make(checkpoint, gpusPerReplica=2, **LAYOUTS[layout])
    expected = two_ranks.run(stopped, job, checkpoint, tmp_path / "saved", count)
    found = two_ranks.run(resumed, job, checkpoint, tmp_path / "saved", count)
    for one, other in zip(found, expected, strict=True):
        assert_identical(one, other)


@pytest.mark.parametrize("distributed", [False, True])
@pytest.mark.parametrize("to", LAYOUTS_OF_TWO)
@pytest.mark.parametrize("of", LAYOUTS_OF_TWO)
def test_a_run_goes_on_in_another_layout(
    of: str, to: str, distributed: bool, tmp_path: Path, two_ranks: Ranks
) -> None:
    """Weights, optimizer and schedule are the same, and so are the next steps, to rounding."""
    checkpoint = make_checkpoint(tmp_path / "model", num_hidden_layers=4)
    optimizer = {**OPTIMIZER, "use_distributed_optimizer": distributed}
    saving, loading = (
        make(
            checkpoint,
            gpusPerReplica=2,
            megatron={},
            optimizer=optimizer,
            parallelism=LAYOUTS_OF_TWO[name],
        )
        for name in (of, to)
    )
    expected, _ = two_ranks.run(stopped, saving, checkpoint, tmp_path / "saved")
    found, _ = two_ranks.run(resumed, loading, checkpoint, tmp_path / "saved")
    for report, other in zip(found[0], expected[0], strict=True):
        assert report == pytest.approx(other, abs=1e-5, rel=1e-4)
    for name, tensor in expected[1].items():
        torch.testing.assert_close(found[1][name], tensor, atol=1e-4, rtol=0)


def test_one_rank_goes_on_from_two(tmp_path: Path, two_ranks: Ranks) -> None:
    checkpoint = make_checkpoint(tmp_path / "model")
    job = make(checkpoint, gpusPerReplica=2, megatron={}, parallelism={"tensor": 2})
    expected, _ = two_ranks.run(stopped, job, checkpoint, tmp_path / "saved")
    reports, _ = alone(resumed, make(checkpoint, megatron={}), checkpoint, tmp_path / "saved")
    for report, other in zip(reports, expected[0], strict=True):
        assert report == pytest.approx(other, abs=1e-5, rel=1e-4)


def settings_of_groups(job: Any, checkpoint: Path, directory: Path) -> Any:
    """What the optimizer steps with after a load, of matrices, and the next rates."""
    policy = Policy(job, initialize(job), checkpoint)
    policy.load(directory)
    matrices = policy.trainer._optimizer.param_groups[0]
    used = {name: matrices[name] for name in ("lr", "betas", "eps", "weight_decay")}
    reports, _ = steps(policy, range(2, 5))
    return used, [report["train/learning_rate"] for report in reports]


@pytest.mark.parametrize("distributed", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_changed_settings_of_the_optimizer_win(
    dtype: str, distributed: bool, tmp_path: Path, other_process: Ranks
) -> None:
    checkpoint = make_checkpoint(tmp_path / "model")
    kind = {"use_distributed_optimizer": distributed}
    alone(
        stopped,
        make(checkpoint, dtype, optimizer={**OPTIMIZER, **kind}),
        checkpoint,
        tmp_path / "saved",
    )
    changed = {
        "lr": 1e-3,
        "min_lr": 1e-4,
        "weight_decay": 0.3,
        "adam_beta1": 0.8,
        "adam_beta2": 0.95,
        "adam_eps": 1e-6,
        "lr_decay_style": "linear",
        "lr_decay_steps": 4,
    }
    job = make(checkpoint, dtype, optimizer={**changed, **kind})
    ((used, rates),) = other_process.run(settings_of_groups, job, checkpoint, tmp_path / "saved")
    # By hand: two of four steps are made, so half of the way from 1e-3 to 1e-4 is gone.
    assert used["lr"] == pytest.approx(5.5e-4)
    assert (used["betas"], used["eps"]) == ((0.8, 0.95), 1e-6)
    assert used["weight_decay"] == pytest.approx(0.3)
    assert rates == pytest.approx([5.5e-4, 3.25e-4, 1e-4])


def test_more_rollouts_lengthen_the_decay(tmp_path: Path, other_process: Ranks) -> None:
    checkpoint = make_checkpoint(tmp_path / "model")
    optimizer = {"lr": 1e-2, "min_lr": 0.0, "lr_decay_style": "linear"}
    job = make_job(checkpoint, trainer={"optimizer": optimizer})
    alone(stopped, job, checkpoint, tmp_path / "saved")
    schedule = {**job.spec.schedule.model_dump(by_alias=True), "rollouts": 20}
    longer = make_job(checkpoint, trainer={"optimizer": optimizer}, schedule=schedule)
    ((_, rates),) = other_process.run(settings_of_groups, longer, checkpoint, tmp_path / "saved")
    # By hand: after 2, 3 and 4 of 20 steps, instead of 10.
    assert rates == pytest.approx([9e-3, 8.5e-3, 8e-3])


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
