"""Steps of every family: on two ranks those of one, after a restart those without it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from rljob_trainer.megatron.model import Model
from rljob_trainer.megatron.parallel import initialize
from tests.trainer.megatron.cases import make_job, make_trajectories
from tests.trainer.megatron.policy import Policy
from tests.trainer.megatron.ranks import alone
from tests.trainer.models.tiny import YARN_ROPE, make_checkpoint

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("qwen2", {}),
    "qwen3 moe": ("qwen3_moe", {}),
    "glm-4": ("glm4", {}),
    "glm-4.5": ("glm4_moe", {"use_qk_norm": True, "attention_bias": True}),
    "deepseek v3": ("deepseek_v3", {"rope_parameters": YARN_ROPE}),
    "moonlight": ("deepseek_v3", {"q_lora_rank": None}),
}
OPTIMIZER = {"lr": 1e-3, "weight_decay": 0.01, "adam_eps": 1e-3}  # small gradients stay small
BIAS = "e_score_correction_bias"


def two_steps(job: Any, checkpoint: Path) -> Any:
    policy = Policy(job, initialize(job), checkpoint)
    before = {name: tensor.clone() for name, tensor in policy.export()}
    reports = [policy.step(make_trajectories(seed=seed)) for seed in range(2)]
    return before, reports, {name: tensor.clone() for name, tensor in policy.export()}


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_make_the_steps_of_one(case: str, tmp_path: Path, two_ranks: Any) -> None:
    family, changes = CASES[case]
    checkpoint = make_checkpoint(tmp_path, family, **changes)
    one = make_job(checkpoint, trainer={"optimizer": OPTIMIZER})
    parallelism = {"tensor": 2, "sequence": True}
    trainer = {"optimizer": OPTIMIZER, "gpusPerReplica": 2, "parallelism": parallelism}
    before, expected, after = alone(two_steps, one, checkpoint)
    (_, reports, weights), _ = two_ranks.run(
        two_steps, make_job(checkpoint, trainer=trainer), checkpoint
    )
    for report, other in zip(reports, expected, strict=True):
        assert report == pytest.approx(other, abs=1e-5, rel=1e-4)
    for name, tensor in after.items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-5, rtol=0, msg=name)
        assert torch.equal(tensor, before[name]) == name.endswith(BIAS), name


OF_EXPERTS: dict[str, dict[str, Any]] = {
    "expert": {"gpusPerReplica": 2, "parallelism": {"expert": 2}},
    "expert, distributed optimizer": {
        "gpusPerReplica": 2,
        "parallelism": {"expert": 2},
        "optimizer": {**OPTIMIZER, "use_distributed_optimizer": True},
        "maxTokensPerGpu": 40,
    },
    "pipeline of different layers": {"gpusPerReplica": 2, "parallelism": {"pipeline": 2}},
    "expert and tensor": {
        "gpusPerReplica": 4,
        "parallelism": {"tensor": 2, "sequence": True, "expert": 2, "expertTensor": 1},
        "maxTokensPerGpu": 40,
    },
    "expert and pipeline": {
        "gpusPerReplica": 4,
        "parallelism": {"pipeline": 2, "virtualPipeline": 2, "expert": 2},
        "optimizer": {**OPTIMIZER, "use_distributed_optimizer": True},
        "maxTokensPerGpu": 40,
    },
    "expert, recompute": {
        "gpusPerReplica": 2,
        "parallelism": {"expert": 2},
        "recompute": "full",
    },
}
WITH_EXPERTS = {
    name: (family, {**changes, "num_hidden_layers": 4})
    for name, (family, changes) in CASES.items()
    if name in ("qwen3 moe", "glm-4.5", "deepseek v3")
}


@pytest.fixture(scope="module", params=WITH_EXPERTS)
def of_one_rank(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """A checkpoint with experts, and what one rank makes of it."""
    family, changes = WITH_EXPERTS[request.param]
    checkpoint = make_checkpoint(tmp_path_factory.mktemp("model"), family, **changes)
    job = make_job(checkpoint, trainer={"optimizer": OPTIMIZER})
    return checkpoint, alone(two_steps, job, checkpoint)


@pytest.mark.parametrize("layout", OF_EXPERTS)
def test_experts_on_several_ranks_make_the_steps_of_one(
    layout: str, of_one_rank: tuple[Path, Any], two_ranks: Any, four_ranks: Any
) -> None:
    checkpoint, (before, expected, after) = of_one_rank
    trainer = {"optimizer": OPTIMIZER, **OF_EXPERTS[layout]}
    ranks = two_ranks if trainer["gpusPerReplica"] == 2 else four_ranks
    (loaded, reports, weights), *_ = ranks.run(
        two_steps, make_job(checkpoint, trainer=trainer), checkpoint
    )
    assert loaded.keys() == before.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in before.items())
    for report, other in zip(reports, expected, strict=True):
        assert report == pytest.approx(other, abs=1e-5, rel=1e-4)
    for name, tensor in after.items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-5, rtol=0, msg=name)


def test_split_experts_on_several_ranks_need_a_gpu(tmp_path: Path, four_ranks: Any) -> None:
    checkpoint = make_checkpoint(tmp_path, "qwen3_moe")
    sizes = {"tensor": 2, "sequence": True, "expert": 2}
    job = make_job(checkpoint, trainer={"gpusPerReplica": 4, "parallelism": sizes})
    with pytest.raises(AssertionError, match=r"expertTensor: found 2, allowed: 1 on a CPU"):
        four_ranks.run(exported, job, checkpoint)


def test_experts_must_divide(tmp_path: Path, two_ranks: Any) -> None:
    checkpoint = make_checkpoint(tmp_path, "qwen3_moe", num_experts=5)
    trainer = {"gpusPerReplica": 2, "parallelism": {"expert": 2}}
    message = r"parallelism\.expert: found 2, allowed: a divisor of .* number of experts, 5"
    with pytest.raises(AssertionError, match=message):
        two_ranks.run(exported, make_job(checkpoint, trainer=trainer), checkpoint)


def stopped(job: Any, checkpoint: Path, directory: Path) -> Any:
    """A step, a save, and another step."""
    policy = Policy(job, initialize(job), checkpoint)
    policy.step(make_trajectories(seed=0))
    directory.mkdir()
    policy.capture(directory)()
    report = policy.step(make_trajectories(seed=1))
    return report, {name: tensor.clone() for name, tensor in policy.export()}


def resumed(job: Any, checkpoint: Path, directory: Path) -> Any:
    policy = Policy(job, initialize(job), checkpoint)
    policy.load(directory)
    report = policy.step(make_trajectories(seed=1))
    return report, {name: tensor.clone() for name, tensor in policy.export()}


@pytest.mark.parametrize("case", CASES)
def test_a_restart_goes_on_bit_for_bit(case: str, tmp_path: Path) -> None:
    family, changes = CASES[case]
    checkpoint = make_checkpoint(tmp_path / "model", family, **changes)
    job = make_job(checkpoint, model={"checkpoint": str(checkpoint), "dtype": "bfloat16"})
    report, weights = alone(stopped, job, checkpoint, tmp_path / "saved")
    again, found = alone(resumed, job, checkpoint, tmp_path / "saved")
    assert again == report
    for name, tensor in weights.items():
        assert torch.equal(found[name], tensor), name


def test_experts_on_several_ranks_need_sequence_parallelism(tmp_path: Path, two_ranks: Any) -> None:
    checkpoint = make_checkpoint(tmp_path, "qwen3_moe")
    trainer = {"gpusPerReplica": 2, "parallelism": {"tensor": 2}}
    with pytest.raises(AssertionError, match=r"parallelism\.sequence: found false, allowed: true"):
        two_ranks.run(exported, make_job(checkpoint, trainer=trainer), checkpoint)


def exported(job: Any, checkpoint: Path) -> Any:
    model = Model(job, initialize(job), checkpoint)
    return {name: tensor.clone() for name, tensor in model.export()}


def test_a_router_s_bias_keeps_its_32_bits(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path, "glm4_moe")
    model = {"checkpoint": str(checkpoint)}
    precise = alone(exported, make_job(checkpoint), checkpoint)
    half = alone(exported, make_job(checkpoint, model=model | {"dtype": "bfloat16"}), checkpoint)
    for name, tensor in half.items():
        assert torch.equal(tensor, precise[name]) == name.endswith(BIAS), name
