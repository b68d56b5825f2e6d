"""What the trainer reports about itself."""

from pathlib import Path

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from rljob.api import RLJob
from rljob_trainer.telemetry.recorder import Recorder
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
