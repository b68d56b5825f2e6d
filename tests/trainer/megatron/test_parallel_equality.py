"""Any layout of ranks computes what one rank computes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from rljob_trainer.megatron.parallel import initialize
from tests.trainer.megatron.cases import make_job, make_trajectories
from tests.trainer.megatron.policy import Policy
from tests.trainer.megatron.ranks import alone
from tests.trainer.models.tiny import make_checkpoint

ALGORITHM = {
    "entropyCoefficient": 0.05,
    "kl": {"lossCoefficient": 0.1},
    "clip": {"low": 0.2, "high": 0.3},
}
# Adam would turn the rounding errors of gradients that are nearly 0 into whole steps.
OPTIMIZER = {"lr": 1e-2, "weight_decay": 0.01, "adam_eps": 1e-5}
LAYOUTS: dict[str, dict[str, Any]] = {
    "tensor": {"parallelism": {"tensor": 2}},
    "tensor and sequence": {"parallelism": {"tensor": 2, "sequence": True}},
    "data": {},
    "data, distributed optimizer": {"optimizer": {**OPTIMIZER, "use_distributed_optimizer": True}},
    "data, small micro-batches": {"microBatchSize": 3},
    "pipeline": {"parallelism": {"pipeline": 2}},
    "pipeline, small micro-batches, distributed optimizer": {
        "parallelism": {"pipeline": 2},
        "microBatchSize": 3,
        "optimizer": {**OPTIMIZER, "use_distributed_optimizer": True},
    },
    "pipeline, recompute": {"parallelism": {"pipeline": 2}, "recompute": "full"},
    "interleaved pipeline": {
        "parallelism": {"pipeline": 2, "virtualPipeline": 2},
        "microBatchSize": 3,
    },
    "interleaved pipeline, one micro-batch": {"parallelism": {"pipeline": 2, "virtualPipeline": 2}},
    "tensor, recompute": {"parallelism": {"tensor": 2}, "recompute": "full"},
    "tensor and sequence, selective recompute": {
        "parallelism": {"tensor": 2, "sequence": True},
        "recompute": "selective",
    },
}

OF_FOUR: dict[str, dict[str, Any]] = {
    "tensor and pipeline": {"parallelism": {"tensor": 2, "pipeline": 2}},
    "tensor, sequence and interleaved pipeline": {
        "parallelism": {"tensor": 2, "sequence": True, "pipeline": 2, "virtualPipeline": 2},
        "maxTokensPerGpu": 40,
    },
    "pipeline and data, distributed optimizer": {
        "parallelism": {"pipeline": 2},
        "optimizer": {**OPTIMIZER, "use_distributed_optimizer": True},
        "maxTokensPerGpu": 40,
    },
    "interleaved pipeline and data": {
        "parallelism": {"pipeline": 2, "virtualPipeline": 2},
        "maxTokensPerGpu": 40,
    },
    "pipeline of four": {"parallelism": {"pipeline": 4}, "microBatchSize": 3},
}


def three_steps(job: Any, checkpoint: Path, samples: int = 16) -> Any:
    policy = Policy(job, initialize(job), checkpoint)
    reports = [policy.step(make_trajectories(samples, seed=seed)) for seed in range(3)]
    return reports, {name: tensor.clone() for name, tensor in policy.export()}


def make(checkpoint: Path, trainer: dict[str, Any]) -> Any:
    return make_job(checkpoint, algorithm=ALGORITHM, trainer={"optimizer": OPTIMIZER, **trainer})


def assert_alike(found: Any, expected: Any) -> None:
    reports, weights = found
    for report, other in zip(reports, expected[0], strict=True):
        assert report == pytest.approx(other, abs=1e-5, rel=1e-4)
    assert weights.keys() == expected[1].keys()
    for name, tensor in expected[1].items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-4, rtol=0, msg=name)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("model"), vocab_size=33, num_hidden_layers=4)


@pytest.fixture(scope="module")
def expected(checkpoint: Path) -> Any:
    return alone(three_steps, make(checkpoint, {}), checkpoint)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_ranks_make_the_steps_of_one(
    layout: str, checkpoint: Path, expected: Any, two_ranks: Any
) -> None:
    job = make(checkpoint, {"gpusPerReplica": 2, **LAYOUTS[layout]})
    found, elsewhere = two_ranks.run(three_steps, job, checkpoint)
    assert_alike(found, expected)
    # Rank 1 exports nothing; had it other weights, the reports, which are of both, would differ.
    assert elsewhere == (found[0], {})


@pytest.mark.parametrize("layout", OF_FOUR)
def test_four_ranks_make_the_steps_of_one(
    layout: str, checkpoint: Path, expected: Any, four_ranks: Any
) -> None:
    job = make(checkpoint, {"gpusPerReplica": 4, **OF_FOUR[layout]})
    found, *elsewhere = four_ranks.run(three_steps, job, checkpoint)
    assert_alike(found, expected)
    assert elsewhere == [(found[0], {})] * 3


@pytest.mark.parametrize("layout", ["tensor", "pipeline", "interleaved pipeline"])
def test_tied_embeddings_stay_one(layout: str, tmp_path: Path, two_ranks: Any) -> None:
    """Two stages hold a copy each, which both have part of the gradient."""
    checkpoint = make_checkpoint(
        tmp_path, vocab_size=33, num_hidden_layers=4, tie_word_embeddings=True
    )
    expected = alone(three_steps, make(checkpoint, {}), checkpoint)
    job = make(checkpoint, {"gpusPerReplica": 2, **LAYOUTS[layout]})
    found, _ = two_ranks.run(three_steps, job, checkpoint)
    assert_alike(found, expected)


@pytest.mark.parametrize(
    "layout", ["data", "data, distributed optimizer", "pipeline", "interleaved pipeline"]
)
def test_a_rank_without_samples_takes_part(layout: str, checkpoint: Path, two_ranks: Any) -> None:
    expected = alone(three_steps, make(checkpoint, {}), checkpoint, 1)
    job = make(checkpoint, {"gpusPerReplica": 2, **LAYOUTS[layout]})
    found, elsewhere = two_ranks.run(three_steps, job, checkpoint, 1)
    assert_alike(found, expected)
    assert elsewhere == (found[0], {})


@pytest.mark.parametrize("size", [1, 2, 4])
def test_micro_batches_do_not_matter(size: int, checkpoint: Path, expected: Any) -> None:
    assert_alike(
        alone(three_steps, make(checkpoint, {"microBatchSize": size}), checkpoint), expected
    )


@pytest.mark.parametrize("kind", ["selective", "full"])
def test_recomputed_activations_do_not_matter(kind: str, checkpoint: Path, expected: Any) -> None:
    assert_alike(alone(three_steps, make(checkpoint, {"recompute": kind}), checkpoint), expected)


def test_a_token_budget_does_not_matter(checkpoint: Path, expected: Any) -> None:
    assert_alike(
        alone(three_steps, make(checkpoint, {"maxTokensPerGpu": 25}), checkpoint), expected
    )


def test_a_step_does_something(expected: Any) -> None:
    first, _, last = expected[0]
    assert 0.01 < first["train/clip_share"] < 1
    assert first["loss/total"] != last["loss/total"]
