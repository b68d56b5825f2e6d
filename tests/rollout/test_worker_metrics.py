"""What a worker counts."""

from typing import Any

import numpy as np
from prometheus_client import generate_latest

from rljob.buffer.records import Sample, VersionSpan
from rljob_rollout.worker_metrics import WorkerMetrics


def sample(**metadata: Any) -> Sample:
    return Sample(
        index=0,
        response="0",
        response_tokens=np.array([3], np.int32),
        logprobs=np.array([-1], np.float32),
        loss_mask=np.array([1], np.uint8),
        versions=(VersionSpan(0, 0, 1),),
        reward=0.0,
        status="completed",
        metadata=metadata,
    )


def test_samples_that_could_not_be_judged_are_counted() -> None:
    metrics = WorkerMetrics()
    metrics.completed([sample(), sample(reward_error="took more than 5 s"), sample()], failed=False)
    assert metrics.status()["reward_failures"] == 1
    assert b"rljob_rollout_reward_failures_total 1.0" in generate_latest(metrics.registry)
