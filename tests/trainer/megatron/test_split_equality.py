"""Reductions and corrections are the same however a batch is split over micro-batches and ranks."""

from pathlib import Path
from typing import Any

import pytest
import torch

from rljob_trainer.megatron.parallel import initialize
from rljob_trainer.trajectories.trajectory import Trajectory
from tests.trainer.megatron.cases import make_job, make_trajectories
from tests.trainer.megatron.policy import Policy
from tests.trainer.megatron.ranks import alone
from tests.trainer.models.tiny import make_checkpoint

OPTIMIZER = {"lr": 1e-2, "weight_decay": 0.01}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "token-mean": {"reduction": "token-mean", "mismatch": {"correction": "icepop", "floor": 0.5}},
    "constant": {
        "reduction": "constant",
        "mismatch": {"correction": "mis", "level": "sequence", "cap": 3, "veto": 0.1},
    },
    "sample-mean": {
        "advantage": "rloo",
        "loss": "gspo",
        # By its own distances nearly all would be clipped, and Adam makes noise of no gradient.
        "clip": {"low": 0.2, "high": 0.2},
        "mismatch": {"correction": "tis", "level": "sequence", "sequenceMask": 0.5},
    },
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("model"), vocab_size=33)


def off_policy() -> list[Trajectory]:
    """Samples whose engine disagreed with the trainer, by up to e^1.5 for a token."""
    random = torch.Generator().manual_seed(11)
    return [
        one.replace(
            rollout_log_probs=one.rollout_log_probs
            + (torch.rand(one.response_length, generator=random) - 0.5) * 3
        )
        for one in make_trajectories(16)
    ]


def a_step(job: Any, checkpoint: Path) -> Any:
    policy = Policy(job, initialize(job), checkpoint)
    report = policy.step(off_policy())
    return report, {name: tensor.clone() for name, tensor in policy.export()}


def make(checkpoint: Path, name: str, **trainer: Any) -> Any:
    algorithm = {"entropyCoefficient": 0.05, "kl": {"lossCoefficient": 0.1, "unbiased": True}}
    return make_job(
        checkpoint,
        algorithm={**algorithm, **ALGORITHMS[name]},
        trainer={"optimizer": OPTIMIZER, **trainer},
    )


@pytest.mark.parametrize("name", ALGORITHMS)
def test_any_split_makes_the_same_step(name: str, checkpoint: Path, two_ranks: Any) -> None:
    report, weights = alone(a_step, make(checkpoint, name, microBatchSize=16), checkpoint)
    assert 0 < report["mismatch/masked_share"] < 1
    assert report["train/gradient_norm"] > 0
    splits = [
        alone(a_step, make(checkpoint, name, microBatchSize=1), checkpoint),
        alone(a_step, make(checkpoint, name, microBatchSize=4), checkpoint),
        two_ranks.run(a_step, make(checkpoint, name, gpusPerReplica=2), checkpoint)[0],
    ]
    for found, found_weights in splits:
        assert found == pytest.approx(report, abs=1e-5, rel=1e-5)
        for key, tensor in weights.items():
            torch.testing.assert_close(found_weights[key], tensor, atol=1e-4, rtol=0, msg=key)
