"""What the trainer tells alerts about itself."""

import math
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from rljob.api import RLJob
from rljob.buffer.records import Memory, Occupancy
from rljob_trainer.telemetry.health import Health
from tests.support.job import manifest


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def health(tmp_path: Path, registry: CollectorRegistry, clock: Clock) -> Health:
    job = manifest(tmp_path, schedule__maxStaleness=3, schedule__saveInterval=7)
    return Health(RLJob.model_validate(job).spec, registry, clock)


def test_bounds_are_those_of_the_manifest(health: Health, registry: CollectorRegistry) -> None:
    value = registry.get_sample_value
    assert value("rljob_staleness_bound") == 3
    assert value("rljob_checkpoint_interval_batches") == 7
    assert math.isnan(value("rljob_mismatch_bound"))
    health.mismatch(0.1)
    assert value("rljob_mismatch_bound") == 0.1
    health.mismatch(None)
    assert math.isnan(value("rljob_mismatch_bound"))


def test_times_begin_with_the_start(
    health: Health, registry: CollectorRegistry, clock: Clock
) -> None:
    value = registry.get_sample_value
    assert value("rljob_batch_timestamp_seconds") == 1000
    assert value("rljob_checkpoint_timestamp_seconds") == 1000
    clock.now = 1060.0
    health.trained()
    clock.now = 1090.0
    health.saved()
    assert value("rljob_batch_timestamp_seconds") == 1060
    assert value("rljob_checkpoint_timestamp_seconds") == 1090


def test_the_buffer_is_told(health: Health, registry: CollectorRegistry) -> None:
    value = registry.get_sample_value
    health.buffer(Occupancy(waiting=4, leased=2, ready=1), Memory(used=30, limit=100))
    states = ("waiting", "leased", "ready")
    assert [value("rljob_buffer_groups", {"state": state}) for state in states] == [4, 2, 1]
    assert value("rljob_buffer_memory_bytes") == 30
    assert value("rljob_buffer_memory_limit_bytes") == 100
    health.buffer(Occupancy(0, 0, 0), Memory(used=50, limit=0))
    assert value("rljob_buffer_memory_bytes") == 50
    assert math.isnan(value("rljob_buffer_memory_limit_bytes"))


def test_starts_and_lagging_engines_are_told(health: Health, registry: CollectorRegistry) -> None:
    health.started(2)
    health.lagging(1)
    assert registry.get_sample_value("rljob_incarnation") == 2
    assert registry.get_sample_value("rljob_engines_lagging") == 1
