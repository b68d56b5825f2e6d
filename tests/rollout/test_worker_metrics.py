"""What a worker counts."""

from typing import Any

from prometheus_client import generate_latest

from rljob.buffer.records import Sample, VersionSpan
from rljob_rollout.worker_metrics import WorkerMetrics
from tests.support.a_sample import a_sample


def sample(**metadata: Any) -> Sample:
    return a_sample([3], logprobs=[-1], versions=[VersionSpan(0, 0, 1)], metadata=metadata)


def test_samples_that_could_not_be_judged_are_counted() -> None:
    metrics = WorkerMetrics()
    metrics.completed([sample(), sample(reward_error="took more than 5 s"), sample()], failed=False)
    assert metrics.status()["reward_failures"] == 1
    assert b"rljob_rollout_reward_failures_total 1.0" in generate_latest(metrics.registry)
