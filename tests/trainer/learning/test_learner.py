"""A learner: what each estimator scores and steps, and that a checkpoint holds all of it."""

from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from rljob.api.algorithm import BuiltinEstimator, LimitsSpec, ReductionName
from rljob.errors import UsageError
from rljob_trainer.algorithms.distillation import teacher_kl
from rljob_trainer.learning.learner import Learner, Lesson
from rljob_trainer.megatron.parallel import initialize
from rljob_trainer.process.collective import Rank0
from rljob_trainer.telemetry.limits import check_limits
from rljob_trainer.telemetry.mismatch import DivergedError
from rljob_trainer.trajectories.trajectory import Trajectory
from tests.trainer.megatron.cases import make_job, make_trajectories
from tests.trainer.megatron.ranks import Ranks, alone
from tests.trainer.models.tiny import make_checkpoint

SAMPLES = 16


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("model"))


def job_of(checkpoint: Path, estimator: str, **algorithm: Any) -> Any:
    return make_job(
        checkpoint,
        algorithm={"estimator": estimator, "samplesPerPrompt": 8, **algorithm},
        schedule={
            "rollouts": 10,
            "rolloutBatchSize": 2,
            "globalBatchSize": 8,
            "stepsPerRollout": 2,
        },
    )


def batch(rollout: int) -> list[Trajectory]:
    """Samples as they come from the buffer."""
    return [
        one.replace(old_log_probs=None, reference_log_probs=None, advantages=None)
        for one in make_trajectories(SAMPLES, seed=rollout)
    ]


def learned(learner: Learner, rollouts: range) -> list[Any]:
    """Reports of batches, and the weights after each."""
    found = []
    for rollout in rollouts:
        rewards = torch.randn(SAMPLES, generator=torch.Generator().manual_seed(rollout))
        groups = torch.arange(SAMPLES) // 8
        scored = learner.score(batch(rollout), rewards, groups, rollout)
        lesson = learner.learn(scored, rollout)
        weights = {name: tensor.clone() for name, tensor in learner.policy.export()}
        found.append((lesson.steps, weights))
    return found


def stopped_and_whole(job: Any, directory: Path) -> Any:
    """Four batches in one go, with a checkpoint after two."""
    learner = Learner(job, initialize(job), Rank0(0))
    before = learned(learner, range(2))
    for name, capture in learner.captures.items():
        (directory / name).mkdir(exist_ok=True)
        capture(directory / name)()
    return [*before, *learned(learner, range(2, 4))]


def resumed(job: Any, directory: Path) -> Any:
    learner = Learner(job, initialize(job), Rank0(0))
    learner.load(directory)
    return learned(learner, range(2, 4))


def test_a_batch_has_the_means_of_its_steps_and_the_largest() -> None:
    steps = [
        {"loss/total": 1.0, "train/ratio_max": 5.0},
        {"loss/total": 2.0, "train/ratio_max": 3.0},
    ]
    assert Lesson(steps, []).metrics == {"loss/total": 1.5, "train/ratio_max": 5.0}


MOVING = {"lossCoefficient": 0.1, "referenceInterval": 2}


@pytest.mark.parametrize(
    ("estimator", "algorithm"),
    [*((name, {}) for name in get_args(BuiltinEstimator)), ("grpo", {"kl": MOVING})],
)
def test_a_resumed_run_goes_on_bit_for_bit(
    estimator: str, algorithm: dict[str, Any], checkpoint: Path, tmp_path: Path
) -> None:
    job = job_of(checkpoint, estimator, **algorithm)
    whole = alone(stopped_and_whole, job, tmp_path)
    again = alone(resumed, job, tmp_path)
    for (steps, weights), (found_steps, found) in zip(whole[2:], again, strict=True):
        assert found_steps == steps
        assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())


def test_frozen_models_in_host_memory_change_nothing(checkpoint: Path, tmp_path: Path) -> None:
    """A reference that moves and a teacher, also saved and loaded: bit for bit the same run."""
    job = job_of(checkpoint, "grpo", kl=MOVING, distillation={"teacher": str(checkpoint)})
    trainer = job.spec.trainer.model_copy(update={"offload_frozen_models": True})
    offloaded = job.model_copy(update={"spec": job.spec.model_copy(update={"trainer": trainer})})
    for name in ("kept", "offloaded"):
        (tmp_path / name).mkdir()
    whole = alone(stopped_and_whole, job, tmp_path / "kept")
    others = alone(stopped_and_whole, offloaded, tmp_path / "offloaded")
    again = alone(resumed, offloaded, tmp_path / "offloaded")
    for (steps, weights), (found_steps, found) in zip(
        [*whole, *whole[2:]], [*others, *again], strict=True
    ):
        assert found_steps == steps
        assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())


@pytest.mark.parametrize("distributed", [False, True])
def test_both_models_of_ppo_go_on_on_two_ranks(
    distributed: bool, checkpoint: Path, tmp_path: Path, two_ranks: Ranks
) -> None:
    job = job_of(checkpoint, "ppo", kl={"rewardCoefficient": 0.1})
    optimizer = {**job.spec.trainer.optimizer, "use_distributed_optimizer": distributed}
    trainer = job.spec.trainer.model_copy(update={"gpus_per_replica": 2, "optimizer": optimizer})
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"trainer": trainer})})
    whole, _ = two_ranks.run(stopped_and_whole, job, tmp_path)
    again, _ = two_ranks.run(resumed, job, tmp_path)
    for (steps, weights), (found_steps, found) in zip(whole[2:], again, strict=True):
        assert found_steps == steps
        assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())


def test_a_job_that_only_evaluates_has_the_policy_alone(checkpoint: Path) -> None:
    """Neither gradients nor an optimizer, whatever the algorithm needs to train."""

    def run() -> Any:
        job = job_of(checkpoint, "ppo", kl={"rewardCoefficient": 0.1})
        parallel, rank0 = initialize(job), Rank0(0)
        trained = Learner(job, parallel, rank0)
        schedule = job.spec.schedule.model_copy(update={"rollouts": 0})
        job = job.model_copy(update={"spec": job.spec.model_copy(update={"schedule": schedule})})
        learner = Learner(job, parallel, rank0)
        return (
            sorted(trained.captures),
            sorted(learner.captures),
            any(each.requires_grad for each in learner.policy.chunks.parameters()),
            trained.log_probs(batch(0)),
            learner.log_probs(batch(0)),
        )

    of_training, of_evaluation, learns, expected, found = alone(run)
    assert (of_training, of_evaluation) == (["critic", "megatron"], [])
    assert not learns
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))


def test_ppo_scores_with_its_critic_and_steps_both(checkpoint: Path) -> None:
    def run() -> Any:
        job = job_of(checkpoint, "ppo", gaeLambda=0.9)
        learner = Learner(job, initialize(job), Rank0(0))
        scored = learner.score(batch(0), torch.ones(SAMPLES), torch.arange(SAMPLES) // 8, 0)
        return scored, learner.learn(scored, 0).steps

    scored, steps = alone(run)
    assert all(one.values is not None and (one.values == 0).all() for one in scored)
    # With values of 0 the error of the last learned token is the reward, decaying backwards.
    for one in scored:
        learned_returns = one.returns[one.loss_mask > 0]
        powers = 0.9 ** torch.arange(len(learned_returns)).flip(0)
        torch.testing.assert_close(learned_returns, powers)
    assert len(steps) == 2
    assert {"loss/policy", "critic/loss", "critic/explained_variance"} <= steps[0].keys()
    assert steps[0]["critic/gradient_norm"] > 0 < steps[0]["train/gradient_norm"]


def cut(whole: Trajectory, number: int) -> list[Trajectory]:
    """A sample as two trajectories: its last tokens come after a prompt of all the others."""
    first = whole.response_length // 2
    end = whole.prompt_length + first
    learned = int((whole.loss_mask > 0).sum())
    log_probs = whole.rollout_log_probs
    both = [
        Trajectory(
            whole.tokens[:end], whole.prompt_length, whole.loss_mask[:first], log_probs[:first]
        ),
        Trajectory(whole.tokens, end, whole.loss_mask[first:], log_probs[first:]),
    ]
    return [one.replace(sample=number, sample_tokens=learned) for one in both]


@pytest.mark.parametrize("reduction", get_args(ReductionName))
@pytest.mark.parametrize("estimator", get_args(BuiltinEstimator))
def test_a_sample_in_two_trajectories_is_learned_as_in_one(
    estimator: str, reduction: str, checkpoint: Path
) -> None:
    """The tokens see the same contexts, so loss and gradient of the first step are the same."""

    def first_step(pieces: list[Trajectory]) -> dict[str, float]:
        job = job_of(checkpoint, estimator, reduction=reduction)
        learner = Learner(job, initialize(job), Rank0(0))
        rewards = torch.randn(SAMPLES, generator=torch.Generator().manual_seed(1))
        scored = learner.score(pieces, rewards, torch.arange(SAMPLES) // 8, 0)
        return learner.learn(scored, 0).steps[0]

    whole = batch(0)
    expected = alone(first_step, whole)
    found = alone(first_step, [part for n, one in enumerate(whole) for part in cut(one, n)])
    for name in ("loss/total", "loss/policy", "train/gradient_norm", "train/kl_old_mean"):
        assert found[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-6), name
    assert expected["train/gradient_norm"] > 1e-3


def test_the_policy_waits_while_the_critic_warms_up(checkpoint: Path) -> None:
    def run() -> Any:
        job = job_of(checkpoint, "ppo", critic={"warmupRollouts": 1, "learningRate": 1e-3})
        learner = Learner(job, initialize(job), Rank0(0))
        before = {name: tensor.clone() for name, tensor in learner.policy.export()}
        return before, learned(learner, range(2))

    before, [(first, still), (second, moved)] = alone(run)
    assert all(torch.equal(before[name], tensor) for name, tensor in still.items())
    assert not all(torch.equal(before[name], tensor) for name, tensor in moved.items())
    assert "train/gradient_norm" not in first[0]
    assert first[0]["critic/learning_rate"] == pytest.approx(1e-3)
    assert second[0]["train/learning_rate"] == pytest.approx(1e-2)


def distilled(checkpoint: Path, teacher: Path) -> Any:
    job = job_of(checkpoint, "grpo", distillation={"teacher": str(teacher)})
    learner = Learner(job, initialize(job), Rank0(0))
    found = []
    for rollout in range(6):
        # All rewards are equal: there is nothing to learn but what the teacher thinks.
        groups = torch.arange(SAMPLES) // 8
        scored = learner.score(batch(0), torch.ones(SAMPLES), groups, rollout)
        apart = torch.cat([teacher_kl(one)[one.loss_mask > 0] for one in scored]).abs().mean()
        found.append((learner.learn(scored, rollout).steps[0], apart.item()))
    return found


def test_a_teacher_that_is_the_policy_teaches_nothing(checkpoint: Path) -> None:
    (first, apart), *_ = alone(distilled, checkpoint, checkpoint)
    assert max(abs(first["kl/teacher_mean"]), apart) < 1e-6
    assert first["train/gradient_norm"] < 1e-5


def test_a_student_comes_nearer_to_its_teacher(checkpoint: Path, tmp_path: Path) -> None:
    """On the tokens that it is judged by. The teacher is a larger model of another family."""
    teacher = make_checkpoint(tmp_path, "llama", seed=9, num_hidden_layers=3)
    (first, before), *_, (_, after) = alone(distilled, checkpoint, teacher)
    assert first["train/gradient_norm"] > 0.01
    assert after < 0.8 * before


@pytest.mark.parametrize(("part", "name"), [("distillation", "teacher"), ("critic", "checkpoint")])
def test_a_model_of_another_vocabulary_is_refused(
    part: str, name: str, checkpoint: Path, tmp_path: Path
) -> None:
    other = make_checkpoint(tmp_path, vocab_size=48)
    job = job_of(checkpoint, "ppo", **{part: {name: str(other)}})

    def build() -> None:
        Learner(job, initialize(job), Rank0(0))

    message = rf"spec.algorithm.{part}.{name}: found a model of 48 tokens, allowed.* 32"
    with pytest.raises(UsageError, match=message):
        alone(build)


def without_tokens(one: Trajectory) -> Trajectory:
    nothing = torch.zeros(0)
    return one.replace(
        tokens=one.tokens[: one.prompt_length], loss_mask=nothing, rollout_log_probs=nothing
    )


def without_learned_tokens(one: Trajectory) -> Trajectory:
    return one.replace(loss_mask=torch.zeros_like(one.loss_mask))


ODD: dict[str, Any] = {
    "one response without tokens": lambda n, one: without_tokens(one) if n == 3 else one,
    "no response with tokens": lambda _, one: without_tokens(one),
    "one empty mask": lambda n, one: without_learned_tokens(one) if n == 3 else one,
    "only empty masks": lambda _, one: without_learned_tokens(one),
    "equal rewards": lambda _, one: one,
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("estimator", get_args(BuiltinEstimator))
def test_what_tells_nothing_is_no_accident(estimator: str, odd: str, checkpoint: Path) -> None:
    """Every number of a step stays finite; where nothing can be learned its gradient is 0."""
    samples = [ODD[odd](n, one) for n, one in enumerate(batch(0))]
    rewards = torch.ones(SAMPLES)
    if odd.startswith("one"):
        rewards = torch.randn(SAMPLES, generator=torch.Generator().manual_seed(1))

    def run() -> Any:
        job = job_of(checkpoint, estimator)
        learner = Learner(job, initialize(job), Rank0(0))
        return learner.learn(learner.score(samples, rewards, torch.arange(SAMPLES) // 8, 0), 0)

    for step in alone(run).steps:
        known = {name: value for name, value in step.items() if "explained" not in name}
        assert all(torch.isfinite(torch.tensor(value)) for value in known.values()), step
        assert step["train/skipped"] == 0
        if not odd.startswith("one") and (odd != "equal rewards" or estimator != "ppo"):
            assert step["train/gradient_norm"] == 0
        if odd.startswith("one"):
            assert step["train/gradient_norm"] > 0


def test_a_reference_that_moves_becomes_the_policy(checkpoint: Path) -> None:
    def run() -> Any:
        job = job_of(checkpoint, "grpo", kl=MOVING)
        learner = Learner(job, initialize(job), Rank0(0))
        found = []
        for rollout in range(4):
            scored = learner.score(
                batch(rollout),
                torch.randn(SAMPLES, generator=torch.Generator().manual_seed(rollout)),
                torch.arange(SAMPLES) // 8,
                rollout,
            )
            learner.learn(scored, rollout)
            found.append(
                max(
                    (one.trainer_log_probs - one.reference_log_probs).abs().max().item()
                    for one in scored
                )
            )
        return found

    first, second, third, fourth = alone(run)
    assert max(first, third) < 1e-5  # at the start, and after two batches
    assert min(second, fourth) > 1e-3


def test_a_limit_of_the_divergence_needs_no_term_of_it(checkpoint: Path) -> None:
    """The reference is there to be compared with; the losses are what they are without."""

    def run(limits: dict[str, float]) -> list[dict[str, float]]:
        job = job_of(checkpoint, "grpo", limits=limits)
        return list(learned(Learner(job, initialize(job), Rank0(0)), range(1))[0][0])

    plain, compared = alone(run, {}), alone(run, {"klToReference": 0.1})
    assert "kl/reference_mean" not in plain[0]
    assert compared[0]["kl/reference_mean"] == pytest.approx(0, abs=1e-6)  # before the first step
    assert compared[1]["kl/reference_mean"] > 1e-4  # lr 1e-2 has moved it
    for one, other in zip(plain, compared, strict=True):
        assert other["loss/total"] == one["loss/total"]
    check_limits(LimitsSpec(kl_to_reference=10), compared[1], 1)
    with pytest.raises(DivergedError, match=r"limits.klToReference: found .* of batch 1"):
        check_limits(LimitsSpec(kl_to_reference=1e-5), compared[1], 1)


def test_nothing_is_learned_from_a_truncated_response(checkpoint: Path) -> None:
    """The step is the same whatever its tokens and its reward are."""

    def run(changed: bool, **algorithm: Any) -> Any:
        samples = [one.replace(truncated=n % 4 == 0) for n, one in enumerate(batch(0))]
        rewards = torch.randn(SAMPLES, generator=torch.Generator().manual_seed(1))
        if changed:
            rewards[::4] += 10
            samples[0] = samples[0].replace(rollout_log_probs=samples[0].rollout_log_probs - 5)
        job = job_of(checkpoint, "grpo", **algorithm)
        learner = Learner(job, initialize(job), Rank0(0))
        scored = learner.score(samples, rewards, torch.arange(SAMPLES) // 8, 0)
        learner.learn(scored, 0)
        return {name: tensor.clone() for name, tensor in learner.policy.export()}

    masked, other = (alone(lambda c=c: run(c, maskTruncated=True)) for c in (False, True))
    assert all(torch.equal(other[name], tensor) for name, tensor in masked.items())
    plain = alone(lambda: run(False))
    assert not all(torch.equal(plain[name], tensor) for name, tensor in masked.items())
