"""What the trainer reports about itself."""

import json
from pathlib import Path

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from rljob.api import RLJob
from rljob_trainer.telemetry.recorder import Recorder
from tests.support.an_evaluation import an_evaluation
from tests.support.job import manifest


def test_without_an_engine_it_says_what_it_waits_for(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    recorder = Recorder(RLJob.model_validate(manifest(tmp_path)), tmp_path, registry)
    recorder.engines(0)
    assert recorder.status()["message"] == "loading the model"
    recorder.phase("running")
    recorder.engines(2)
    assert recorder.status()["message"] == ""
    assert registry.get_sample_value("rljob_engines") == 2
    recorder.engines(0)
    assert recorder.status()["phase"] == "running"
    assert recorder.status()["message"] == "no engine is left; waiting for one"
    assert recorder.status()["engines"] == 0
    assert registry.get_sample_value("rljob_engines") == 0
    recorder.engines(1)
    assert recorder.status()["message"] == ""


def test_a_batch_from_which_only_the_critic_learns_is_recorded(tmp_path: Path) -> None:
    """Nothing of the policy's loss is known then."""
    job = RLJob.model_validate(manifest(tmp_path))
    recorder = Recorder(job, tmp_path, CollectorRegistry())
    metrics = dict.fromkeys(
        (
            *("reward/mean", "response/length_mean", "critic/loss", "weights/version"),
            *("staleness/max", "time/total", "groups/dropped"),
            *("throughput/samples_per_second", "throughput/tokens_per_second"),
        ),
        1.0,
    )
    with capture_logs() as events:
        recorder.batch(1, metrics, [], rewards=[1.0], count=1, tokens=2)
    recorder.close()
    (event,) = events
    assert event["critic_loss"] == 1
    assert not {"loss", "gradient_norm"} & event.keys()


def test_an_evaluation_is_recorded_with_all_its_numbers(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    recorder = Recorder(RLJob.model_validate(manifest(tmp_path)), tmp_path, registry)
    recorder.evaluation(3, an_evaluation(0.5))
    recorder.close()
    record = json.loads((tmp_path / "evaluations.jsonl").read_text())
    assert record.pop("time") > 0
    assert record == {
        "rollout": 3,
        "name": "held-out",
        "reward": 0.5,
        "margin": 0.125,
        "pass@1": 0.5,
        "pass@2": 0.75,
        "majority@2": 0.375,
        "length": 4.0,
        "truncated": 0.25,
        "count": 16,
        "failed": 1,
        "samples": [],
    }
    assert registry.get_sample_value("rljob_evaluation_reward", {"name": "held-out"}) == 0.5
    shares = {"name": "held-out", "k": "2"}
    assert registry.get_sample_value("rljob_evaluation_pass", shares) == 0.75
