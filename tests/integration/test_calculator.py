"""A calculator as a tool: two turns, and what it says between them, reach the trainer."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.integration.calculator.prepare import prepare
from tests.support.job import Run

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

CALCULATOR = Path(__file__).parent / "calculator"
EPISODE = re.compile(r".{0,5}=(\d{3}|~~~)\|.{0,3}", re.DOTALL)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    prepare(tmp_path / "build", seed=1)
    document = YAML(typ="safe").load(CALCULATOR / "job.yaml")
    spec = document["spec"]
    spec["model"]["checkpoint"] = str(tmp_path / "build" / "model")
    spec["data"]["prompts"] = [str(tmp_path / "build" / "train.jsonl")]
    spec["evaluation"][0]["prompts"] = str(tmp_path / "build" / "held_out.jsonl")
    spec["evaluation"][0]["limit"] = 16
    spec["code"] = {"directory": str(CALCULATOR)}
    run = Run(tmp_path / "run", document)
    yield run
    run.kill()


def test_episodes_are_trained_on_and_evaluated(run: Run) -> None:
    run.start()
    assert run.wait() == 0, run.text()
    run.audit()
    for record in run.records("metrics"):
        # Five tokens of the call, five of the tool, three of the answer.
        assert record["response/length_mean"] == 13
        assert record["loss/entropy"] > 0
        assert record["mismatch/logprob_mean"] < 1e-3
    shown = run.records("samples")
    assert shown
    assert all(EPISODE.fullmatch(sample["response"]) for sample in shown)
    assert {record["name"] for record in run.records("evaluations")} == {"held-out"}
