"""The critic: its values and steps against transformers' autograd, on any layout."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel

from rljob.api.algorithm import AlgorithmSpec, CriticSpec
from rljob_trainer.algorithms.value_objective import ValueObjective
from rljob_trainer.learning.critic import _options, explained_variance
from rljob_trainer.megatron.model import Model
from rljob_trainer.megatron.parallel import initialize
from rljob_trainer.megatron.scorer import Scorer
from rljob_trainer.megatron.trainer import Trainer
from rljob_trainer.trajectories.global_batch import GlobalBatch
from rljob_trainer.trajectories.trajectory import Trajectory
from tests.trainer.megatron.cases import make_job, make_trajectories
from tests.trainer.megatron.ranks import alone
from tests.trainer.models.tiny import make_checkpoint

CLIP = 0.3
LAYOUTS: dict[str, dict[str, Any]] = {
    "data": {},
    "data, distributed optimizer": {"optimizer": {"use_distributed_optimizer": True}},
    "tensor": {"parallelism": {"tensor": 2}},
    "tensor and sequence": {"parallelism": {"tensor": 2, "sequence": True}},
}


@pytest.fixture(scope="module", params=["qwen3", "llama tied"])
def checkpoint(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    family, *tied = request.param.split()
    directory = tmp_path_factory.mktemp("model")
    return make_checkpoint(directory, family, tie_word_embeddings=bool(tied))


def head() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(5)
    return torch.randn(1, 64, generator=random) * 0.2, torch.tensor([0.1])


def returning() -> list[Trajectory]:
    """Trajectories with old values near the critic's and returns, so that some are clipped."""
    random = torch.Generator().manual_seed(6)
    return [
        one.replace(
            values=torch.randn(one.response_length, generator=random) * 0.3,
            returns=torch.randn(one.response_length, generator=random),
        )
        for one in make_trajectories()
    ]


def scored_and_stepped(job: Any, checkpoint: Path) -> Any:
    model = Model(job, initialize(job), checkpoint, values=True)
    (chunk,) = model.chunks
    layer = dict(chunk.named_modules())["output_layer"]
    first = Scorer(job, model)(returning())
    with torch.no_grad():
        for parameter, given in zip(layer.parameters(), head(), strict=True):
            parameter.copy_(given)
    score, trainer = Scorer(job, model), Trainer(job, model, name="critic")
    values = score(returning())
    spec = AlgorithmSpec(estimator="ppo", critic=CriticSpec(value_clip=CLIP))
    whole = GlobalBatch.of(returning())
    loss = partial(ValueObjective(spec, longest=16), whole=whole)
    report = trainer.step(returning(), loss)
    return first, values, report, score(returning())


def expected_values(model: Any, trajectory: Trajectory) -> torch.Tensor:
    weight, bias = head()
    hidden = model(trajectory.tokens[None]).last_hidden_state[0]
    return (hidden @ weight.T + bias)[trajectory.prompt_length - 1 : -1, 0]


def test_values_and_steps_are_those_of_transformers(checkpoint: Path) -> None:
    model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32)
    layer = torch.nn.Linear(64, 1)
    with torch.no_grad():
        layer.weight.copy_(head()[0])
        layer.bias.copy_(head()[1])
    first, values, report, _ = alone(scored_and_stepped, make_job(checkpoint), checkpoint)
    assert all((each == 0).all() for each in first)
    losses = []
    for found, one in zip(values, returning(), strict=True):
        hidden = model(one.tokens[None]).last_hidden_state[0]
        own = layer(hidden)[one.prompt_length - 1 : -1, 0]
        torch.testing.assert_close(found, own.detach(), atol=1e-5, rtol=1e-5)
        assert one.values is not None and one.returns is not None
        bound = one.values + (own - one.values).clamp(-CLIP, CLIP)
        errors = torch.maximum((own - one.returns) ** 2, (bound - one.returns) ** 2)
        losses.append((errors * one.loss_mask).sum() / one.loss_mask.sum() / 2)
    loss = torch.stack(losses).mean()
    loss.backward()
    parameters = [*model.parameters(), *layer.parameters()]
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    assert report["critic/loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert report["critic/gradient_norm"] == pytest.approx(norm.item(), rel=1e-4)
    assert 0 < report["critic/clip_share"] < 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_ranks_make_the_steps_of_one(layout: str, checkpoint: Path, two_ranks: Any) -> None:
    one = make_job(checkpoint)
    changes = dict(LAYOUTS[layout])
    optimizer = {**one.spec.trainer.optimizer, **changes.pop("optimizer", {})}
    two = make_job(checkpoint, trainer={"gpusPerReplica": 2, "optimizer": optimizer, **changes})
    _, values, report, after = alone(scored_and_stepped, one, checkpoint)
    for rank in two_ranks.run(scored_and_stepped, two, checkpoint):
        assert rank[2] == pytest.approx(report, abs=1e-5, rel=1e-4)
        for found, expected in zip((*rank[1], *rank[3]), (*values, *after), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_its_learning_rate_scales_the_schedule() -> None:
    given = {"lr": 1e-6, "min_lr": 1e-7, "weight_decay": 0.1}
    assert _options(given, None).given == given
    scaled = _options(given, 1e-5).given
    assert scaled == pytest.approx({"lr": 1e-5, "min_lr": 1e-6, "weight_decay": 0.1})
    assert _options({}, 1e-5).given == {"lr": 1e-5}


def test_explained_variance() -> None:
    """1 for the truth, 0 for a constant, below 0 for worse; masked tokens do not count."""
    (one,) = make_trajectories(1)
    size = one.response_length
    truth = torch.arange(float(size))
    one = one.replace(loss_mask=torch.ones(size), returns=truth)
    assert explained_variance([one.replace(values=truth)]) == 1
    assert explained_variance([one.replace(values=torch.full((size,), 7.0))]) == 0
    assert explained_variance([one.replace(values=-truth)]) == pytest.approx(-3)
    masked = one.replace(loss_mask=torch.tensor([0.0] + [1.0] * (size - 1)))
    worse = truth.clone()
    worse[0] = 1e6
    assert explained_variance([masked.replace(values=worse)]) == 1
    equal = one.replace(returns=torch.ones(size), values=truth)
    assert explained_variance([equal]) != explained_variance([equal])  # NaN
