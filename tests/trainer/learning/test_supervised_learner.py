"""Learning answers: loss and gradients are those of transformers, and a checkpoint holds all."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from rljob_trainer.learning.supervised_learner import SupervisedLearner
from rljob_trainer.megatron.parallel import initialize
from rljob_trainer.trajectories.trajectory import Trajectory
from tests.trainer.megatron.cases import make_job, make_trajectories
from tests.trainer.megatron.ranks import Ranks, alone
from tests.trainer.models.tiny import make_checkpoint

SAMPLES = 8


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # 33 is no multiple of 2: on two ranks the vocabulary is padded, which must not count.
    return make_checkpoint(tmp_path_factory.mktemp("model"), vocab_size=33)


def job_of(checkpoint: Path, *, steps: int = 1, optimizer: Any = None, **algorithm: Any) -> Any:
    return make_job(
        checkpoint,
        algorithm={"estimator": "sft", "samplesPerPrompt": 1, **algorithm},
        schedule={
            "rollouts": 10,
            "rolloutBatchSize": SAMPLES,
            "globalBatchSize": SAMPLES // steps,
            "stepsPerRollout": steps,
        },
        trainer={"optimizer": optimizer or {"lr": 1e-2, "weight_decay": 0.01}},
        rollout={"sampling": {"maxResponseTokens": 16}},
    )


def examples(rollout: int = 0) -> list[Trajectory]:
    return [
        Trajectory(
            tokens=one.tokens,
            prompt_length=one.prompt_length,
            loss_mask=torch.ones(one.response_length),
            rollout_log_probs=torch.zeros(one.response_length),
        )
        for one in make_trajectories(SAMPLES, vocabulary=33, seed=rollout + 1)
    ]


def reports(job: Any, rollouts: range) -> Any:
    learner = SupervisedLearner(job, initialize(job))
    found = [learner.learn(examples(rollout), rollout).steps for rollout in rollouts]
    return found, {name: tensor.clone() for name, tensor in learner.policy.export()}


def by_transformers(checkpoint: Path, reduction: str) -> Any:
    """The loss by its own cross-entropy, the accuracy, and the model with gradients."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    sums, tokens, right = [], 0, 0
    for one in examples():
        # -100: tokens that its loss leaves out, those of the prompt.
        labels = one.tokens.clone()
        labels[: one.prompt_length] = -100
        output = model(one.tokens[None], labels=labels[None])
        sums.append((output.loss, one.response_length))
        tokens += one.response_length
        likely = output.logits[0, one.prompt_length - 1 : -1].argmax(-1)
        right += int((likely == one.tokens[one.prompt_length :]).sum())
    match reduction:
        case "token-mean":
            loss = sum(mean * count for mean, count in sums) / tokens
        case "sample-mean":
            loss = sum(mean for mean, _ in sums) / SAMPLES
        case _:
            loss = sum(mean * count for mean, count in sums) / (SAMPLES * 16)
    loss.backward()
    return loss.item(), right / tokens, model


@pytest.mark.parametrize("reduction", [None, "token-mean", "sample-mean", "constant"])
def test_loss_and_gradients_are_those_of_transformers(
    reduction: str | None, checkpoint: Path
) -> None:
    """Plain SGD with a rate of 1 moves each weight by its gradient."""
    sgd = {
        "optimizer": "sgd",
        "lr": 1.0,
        "weight_decay": 0.0,
        "sgd_momentum": 0.0,
        "clip_grad": 0.0,
    }
    chosen = {} if reduction is None else {"reduction": reduction}
    [[report]], weights = alone(reports, job_of(checkpoint, optimizer=sgd, **chosen), range(1))
    loss, accuracy, model = by_transformers(checkpoint, reduction or "token-mean")
    assert report["loss/total"] == pytest.approx(loss, abs=1e-5)
    assert report["train/token_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    for name, parameter in model.named_parameters():
        moved = parameter.detach() - weights[name]
        torch.testing.assert_close(moved, parameter.grad, atol=1e-5, rtol=1e-4)


def test_two_tensor_parallel_ranks_find_the_same(checkpoint: Path, two_ranks: Ranks) -> None:
    job = job_of(checkpoint)
    spec = job.spec.trainer.model_copy(
        update={
            "gpus_per_replica": 2,
            "parallelism": job.spec.trainer.parallelism.model_copy(update={"tensor": 2}),
        }
    )
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"trainer": spec})})
    loss, accuracy, _ = by_transformers(checkpoint, "token-mean")
    for [[report]], _ in two_ranks.run(reports, job, range(1)):
        assert report["loss/total"] == pytest.approx(loss, abs=1e-5)
        assert report["train/token_accuracy"] == pytest.approx(accuracy, abs=1e-6)


def stopped_and_whole(job: Any, directory: Path) -> Any:
    """Four batches in one go, with a checkpoint after two."""
    learner = SupervisedLearner(job, initialize(job))
    for rollout in range(2):
        learner.learn(examples(rollout), rollout)
    for name, capture in learner.captures.items():
        (directory / name).mkdir(exist_ok=True)
        capture(directory / name)()
    found = [learner.learn(examples(rollout), rollout).steps for rollout in (2, 3)]
    return found, {name: tensor.clone() for name, tensor in learner.policy.export()}


def resumed(job: Any, directory: Path) -> Any:
    learner = SupervisedLearner(job, initialize(job))
    learner.load(directory)
    found = [learner.learn(examples(rollout), rollout).steps for rollout in (2, 3)]
    return found, {name: tensor.clone() for name, tensor in learner.policy.export()}


def test_a_resumed_run_goes_on_bit_for_bit(checkpoint: Path, tmp_path: Path) -> None:
    job = job_of(checkpoint, steps=2)
    steps, weights = alone(stopped_and_whole, job, tmp_path)
    found_steps, found = alone(resumed, job, tmp_path)
    assert len(steps[0]) == 2
    assert found_steps == steps
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())
