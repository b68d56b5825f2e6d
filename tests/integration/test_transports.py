"""A short run with each weight transport except broadcast, which all other runs use.

One of them trains a model with experts, on four processes: its weights come from stages and ranks.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.sort_digits import prepare
from tests.support.job import Run
from tests.trainer.models.tiny import make_checkpoint

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

ROLLOUTS = 3
# One optimizer step per batch: the step itself scores its batch.
ONE_STEP = {"schedule__stepsPerRollout": 1, "schedule__globalBatchSize": 32}
TRANSPORTS: dict[str, dict[str, Any]] = {
    "disk": {
        "weights": {"transport": "disk"},
        "trainer__gpusPerReplica": 4,
        "trainer__parallelism": {"pipeline": 2, "expert": 2},
        **ONE_STEP,
    },
    "deltas": {
        "weights": {"transport": "disk", "fullInterval": 3},
        "algorithm__mismatch": {"old": "rollout"},
        **ONE_STEP,
    },
    "ipc": {"weights": {"transport": "ipc"}, "device": "cpu"},
}


@pytest.fixture(scope="module")
def with_experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with experts that has the task's tokens."""
    directory = tmp_path_factory.mktemp("experts")
    make_checkpoint(
        directory,
        "qwen3_moe",
        vocab_size=prepare.VOCABULARY,
        num_hidden_layers=2,
        mlp_only_layers=[],  # SGLang gives every layer experts
        max_position_embeddings=1024,
    )
    prepare.write_tokenizer(directory)
    return directory


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_trainer_and_engine_agree_on_every_token(
    transport: str, new_run: Callable[..., Run], with_experts: Path
) -> None:
    changes = TRANSPORTS[transport]
    if "trainer__parallelism" in changes:
        changes = {**changes, "model__checkpoint": str(with_experts)}
    run = new_run(transport, schedule__rollouts=ROLLOUTS, **changes)
    assert run.run() == 0, run.text()
    metrics = run.records("metrics")
    assert len(metrics) == ROLLOUTS
    assert all(0 < record["mismatch/logprob_max"] < 1e-4 for record in metrics)
    assert all(record["mismatch/tokens"] == 8 * 4 * 4 for record in metrics)
    # A fixed sequence of 12 tokens, scored after each update.
    assert all(record["mismatch/probe_mean"] < 1e-4 for record in metrics)
    assert {record["mismatch/probe_tokens"] for record in metrics} == {11}
    assert [event["version"] for event in run.events("publish")] == list(range(ROLLOUTS + 1))
    assert "the run has ended" in run.audit()
    sizes = [record["weights/bytes"] for record in metrics]
    full = (run.directory / "model" / "model.safetensors").stat().st_size
    if transport in ("ipc", "disk"):
        assert all(size == pytest.approx(full, rel=0.01) for size in sizes)
    else:
        assert all(0 < size < 0.8 * full for size in sizes[:2])
        assert sizes[2] == pytest.approx(full, rel=0.01)
    # Neither the trainer nor the engine leaves weights behind.
    for directory in ("weights", "engines"):
        assert not list((run.directory / directory).glob("*"))
