"""Steps of the policy: values against transformers' autograd, and what must not happen."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from rljob.errors import UsageError
from rljob_trainer.megatron.model import Model
from rljob_trainer.megatron.parallel import initialize
from rljob_trainer.megatron.scorer import Scorer
from rljob_trainer.trajectories.trajectory import Trajectory
from tests.trainer.megatron.cases import make_job, make_trajectories
from tests.trainer.megatron.policy import Policy
from tests.trainer.megatron.ranks import alone
from tests.trainer.models.tiny import make_checkpoint

LOW, HIGH, KL, ENTROPY = 0.2, 0.3, 0.1, 0.05
ALGORITHM = {
    "entropyCoefficient": ENTROPY,
    "kl": {"lossCoefficient": KL, "estimator": "k3"},
    "clip": {"low": LOW, "high": HIGH},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("model"))


def steps(job: Any, checkpoint: Path, *batches: Any) -> Any:
    policy = Policy(job, initialize(job), checkpoint)
    reports = [policy.step(batch) for batch in batches]
    return reports, {name: tensor.clone() for name, tensor in policy.export()}


def sample_loss(model: Any, trajectory: Trajectory, estimator: str) -> torch.Tensor:
    """The policy loss, k3 and entropy of one sample, written out: the mean over its tokens.

    k3 is at most 10, verl's bound.
    """
    logits = model(trajectory.tokens[None]).logits[0, trajectory.prompt_length - 1 : -1]
    of_all = logits.log_softmax(-1)
    response = trajectory.tokens[trajectory.prompt_length :]
    log_probs = of_all[torch.arange(len(response)), response]
    log_ratio = log_probs - trajectory.old_log_probs
    advantage, mask = trajectory.advantages, trajectory.loss_mask
    assert advantage is not None
    if estimator == "cispo":
        policy = -log_ratio.exp().clamp(1 - LOW, 1 + HIGH).detach() * advantage * log_probs
    else:
        if estimator == "gspo":
            log_ratio = ((log_ratio * mask).sum() / mask.sum()).expand_as(log_ratio)
        ratio = log_ratio.exp()
        policy = -torch.minimum(ratio * advantage, ratio.clamp(1 - LOW, 1 + HIGH) * advantage)
    difference = trajectory.reference_log_probs - log_probs
    kl = (difference.exp() - difference - 1).clamp(max=10)
    entropy = -(of_all.exp() * of_all).sum(-1)
    loss = policy + KL * kl - ENTROPY * entropy
    return torch.sum(loss * mask) / mask.sum()


@pytest.mark.parametrize("estimator", ["grpo", "gspo", "cispo"])
def test_loss_and_gradient_norm_are_those_of_transformers(estimator: str, checkpoint: Path) -> None:
    trajectories = make_trajectories()
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    loss = sum(sample_loss(model, t, estimator) for t in trajectories) / len(trajectories)
    loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
    job = make_job(checkpoint, algorithm={**ALGORITHM, "estimator": estimator})
    (report,), _ = alone(steps, job, checkpoint, trajectories)
    assert report["loss/total"] == pytest.approx(loss.item(), rel=1e-5)
    assert report["train/gradient_norm"] == pytest.approx(norm.item(), rel=1e-4)
    parts = report["loss/policy"] + KL * report["loss/kl"] - ENTROPY * report["loss/entropy"]
    assert report["loss/total"] == pytest.approx(parts, rel=1e-5)


def log_probs_of_two(job: Any, checkpoint: Path, trajectories: Any) -> Any:
    parallel = initialize(job)
    policy = Policy(job, parallel, checkpoint)
    reference = Scorer(job, Model(job, parallel, checkpoint).frozen())
    return policy.log_probs(trajectories), reference(trajectories)


def test_the_reference_agrees_before_the_first_step(checkpoint: Path) -> None:
    trajectories = make_trajectories()
    found = alone(log_probs_of_two, make_job(checkpoint), checkpoint, trajectories)
    for one, other in zip(*found, strict=True):
        assert (one - other).abs().max() < 1e-6


def own_trajectories(job: Any, checkpoint: Path) -> Any:
    """A first step from the policy's own log-probabilities, as in a synchronous run."""
    policy = Policy(job, initialize(job), checkpoint)
    trajectories = make_trajectories(64)
    old = policy.log_probs(trajectories)
    return policy.step([t.replace(old_log_probs=o) for t, o in zip(trajectories, old, strict=True)])


def test_the_first_step_is_sane(checkpoint: Path) -> None:
    report = alone(own_trajectories, make_job(checkpoint), checkpoint)
    assert report["train/clip_share"] == 0
    assert 0.05 < report["train/gradient_norm"] < 5
    assert report["loss/entropy"] > 0
    # The ratio is 1 everywhere, so the loss is minus the mean advantage.
    advantages = [t.advantages[0] for t in make_trajectories(64) if t.advantages is not None]
    assert report["loss/policy"] == pytest.approx(-torch.stack(advantages).mean().item(), abs=1e-5)


def scored_apart(job: Any, checkpoint: Path, trajectories: Any) -> Any:
    policy = Policy(job, initialize(job), checkpoint)
    old = policy.log_probs(trajectories)
    report = policy.step(
        [t.replace(old_log_probs=o) for t, o in zip(trajectories, old, strict=True)]
    )
    return report, old, {name: tensor.clone() for name, tensor in policy.export()}


def scored_in_step(job: Any, checkpoint: Path, trajectories: Any) -> Any:
    policy = Policy(job, initialize(job), checkpoint)
    report, old = policy.step_and_score([t.replace(old_log_probs=None) for t in trajectories])
    return report, old, {name: tensor.clone() for name, tensor in policy.export()}


@pytest.mark.parametrize("correction", ["none", "tis"])
@pytest.mark.parametrize("count", [1, 16])
def test_a_step_that_scores_itself_is_the_same(
    count: int, correction: str, checkpoint: Path, two_ranks: Any
) -> None:
    """On one rank, and on two, of which one may be without samples."""
    algorithm = {**ALGORITHM, "mismatch": {"correction": correction}}
    optimizer = {"optimizer": {"lr": 1e-2, "weight_decay": 0.01}}
    job = make_job(checkpoint, algorithm=algorithm, trainer=optimizer)
    two = {**optimizer, "gpusPerReplica": 2}
    on_two = make_job(checkpoint, algorithm=algorithm, trainer=two)
    staged = make_job(
        checkpoint, algorithm=algorithm, trainer={**two, "parallelism": {"pipeline": 2}}
    )
    trajectories = make_trajectories(count)
    report, old, weights = alone(scored_apart, job, checkpoint, trajectories)
    for found in (
        alone(scored_in_step, job, checkpoint, trajectories),
        two_ranks.run(scored_in_step, on_two, checkpoint, trajectories)[0],
        *two_ranks.run(scored_in_step, staged, checkpoint, trajectories),
    ):
        assert found[0] == pytest.approx(report, abs=1e-5, rel=1e-4)
        for one, other in zip(found[1], old, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
        for name, tensor in found[2].items():  # of the first rank alone
            torch.testing.assert_close(tensor, weights[name], atol=1e-4, rtol=0)


def test_a_zero_embedding_row_shows_in_the_gradient_norm(tmp_path: Path) -> None:
    # transformers zeroes the row of the padding token, which RMSNorm then divides by; were such a
    # token in use, clipping by the norm would hide that nothing else is learned.
    padded = make_checkpoint(tmp_path, pad_token_id=5)
    report = alone(own_trajectories, make_job(padded), padded)
    assert report["train/gradient_norm"] > 20


def test_a_gradient_that_is_not_finite_changes_nothing(checkpoint: Path) -> None:
    good = make_trajectories()
    bad = [good[0].replace(advantages=good[0].loss_mask * float("nan")), *good[1:]]
    job = make_job(checkpoint, algorithm=ALGORITHM)
    reports, weights = alone(steps, job, checkpoint, bad, good)
    expected, expected_weights = alone(steps, job, checkpoint, good)
    assert [report["train/skipped"] for report in reports] == [1, 0]
    assert reports[1:] == expected
    for name, tensor in expected_weights.items():
        assert torch.equal(weights[name], tensor)


def test_the_learning_rate_follows_its_schedule(checkpoint: Path) -> None:
    optimizer = {
        "lr": 1e-2,
        "min_lr": 1e-3,
        "lr_warmup_steps": 2,
        "lr_decay_steps": 5,
        "lr_decay_style": "linear",
    }
    job = make_job(checkpoint, trainer={"optimizer": optimizer})
    reports, _ = alone(steps, job, checkpoint, *[make_trajectories()] * 7)
    rates = [report["train/learning_rate"] for report in reports]
    assert rates == pytest.approx([0, 5e-3, 1e-2, 7e-3, 4e-3, 1e-3, 1e-3])


def test_no_trajectories_have_no_log_probs(checkpoint: Path) -> None:
    _, reference = alone(log_probs_of_two, make_job(checkpoint), checkpoint, [])
    assert reference == []


def in_bfloat16(job: Any, checkpoint: Path) -> Any:
    policy = Policy(job, initialize(job), checkpoint)
    before = policy.log_probs(make_trajectories())
    dtypes = {tensor.dtype for _, tensor in policy.export()}
    return before, dtypes, policy.step(make_trajectories())


def test_bfloat16_is_float32_to_rounding(checkpoint: Path) -> None:
    model = {"checkpoint": str(checkpoint), "dtype": "bfloat16"}
    job = make_job(checkpoint, model=model, algorithm=ALGORITHM)
    log_probs, dtypes, report = alone(in_bfloat16, job, checkpoint)
    assert dtypes == {torch.bfloat16}
    job = make_job(checkpoint, algorithm=ALGORITHM)
    exact, _, exact_report = alone(in_bfloat16, job, checkpoint)
    differences = [(a - b).abs().mean() for a, b in zip(log_probs, exact, strict=True)]
    assert torch.stack(differences).mean() < 0.1
    assert report["loss/total"] == pytest.approx(exact_report["loss/total"], abs=0.05)
    norm = exact_report["train/gradient_norm"]
    assert report["train/gradient_norm"] == pytest.approx(norm, rel=0.1)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"trainer": {"megatron": {"sequence_parallel": True}}}, "trainer.parallelism.sequence"),
        ({"trainer": {"megatron": {"num_layers": "two"}}}, "megatron-core refuses it"),
        ({"trainer": {"optimizer": {"bf16": True}}}, "set it with spec.model.dtype"),
        ({"trainer": {"optimizer": {"lr_warmup_steps": 90}}}, "schedule contradicts itself"),
        ({"trainer": {"parallelism": {"context": 2}}}, "parallelism.context: found 2"),
        (
            {"trainer": {"parallelism": {"tensor": 2, "pipeline": 2}}},
            "tensor 2 x pipeline 2 = 4, allowed: a divisor of the trainer's 1 processes",
        ),
        (
            {"trainer": {"parallelism": {"expert": 2}}},
            "expert 2 x expertTensor 1 x pipeline 1 = 2, allowed: a divisor",
        ),
    ],
)
def test_options_that_cannot_be_followed_are_refused(
    spec: dict[str, Any], message: str, checkpoint: Path
) -> None:
    job = make_job(checkpoint, **spec)
    with pytest.raises(UsageError, match=message):
        alone(log_probs_of_two, job, checkpoint, [])


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"pipeline": 2}, "pipeline: found 2, allowed: a divisor of the model's num_hidden_layers"),
        ({"expert": 2}, "expert: found 2, allowed: 1, as the model has no experts"),
    ],
)
def test_stages_and_experts_must_divide(
    sizes: dict[str, int], message: str, tmp_path: Path, two_ranks: Any
) -> None:
    checkpoint = make_checkpoint(tmp_path, num_hidden_layers=3)
    job = make_job(checkpoint, trainer={"gpusPerReplica": 2, "parallelism": sizes})
    with pytest.raises(AssertionError, match=f"UsageError.*{message}"):
        two_ranks.run(log_probs_of_two, job, checkpoint, [])


def test_ranks_must_divide_the_heads(tmp_path: Path, two_ranks: Any) -> None:
    checkpoint = make_checkpoint(tmp_path, num_key_value_heads=1)
    job = make_job(checkpoint, trainer={"gpusPerReplica": 2, "parallelism": {"tensor": 2}})
    with pytest.raises(AssertionError, match=r"UsageError.*num_key_value_heads, 1"):
        two_ranks.run(log_probs_of_two, job, checkpoint, [])
