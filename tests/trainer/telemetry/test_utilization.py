"""Who waits for whom; times and shares computed by hand."""

import math

import pytest
from prometheus_client import CollectorRegistry

from rljob.buffer.records import Engine
from rljob_trainer.telemetry.utilization import Utilization

SHARES = ("wait_share", "held_share", "window_seconds", "window_tokens_per_second")


class Story:
    """A trainer with a clock of its own; `busy` is what each engine tells."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.registry = CollectorRegistry()
        self.utilization = Utilization(self.registry, clock=lambda: self.now)

    def look(self, **busy: float) -> None:
        self.utilization.look(
            [Engine(f"{name}/1", name, "http://a", 3, seconds) for name, seconds in busy.items()]
        )

    def batch(self, seconds: float, wait: float, tokens: float = 0.0, **busy: float) -> None:
        self.now += seconds
        self.look(**busy)
        self.utilization.batch(wait=wait, seconds=seconds, tokens=tokens)

    def shares(self) -> list[float | None]:
        status = self.utilization.status()
        return [status[name] for name in SHARES]


@pytest.fixture
def story() -> Story:
    return Story()


def test_shares_over_whole_batches(story: Story) -> None:
    story.look(a=100.0, b=0.0)  # a is older than this trainer
    story.batch(40, wait=10, tokens=400, a=120.0, b=10.0)  # busy 30 of 80
    story.batch(60, wait=15, tokens=600, a=140.0, b=60.0)  # busy 70 of 120
    story.now += 5
    assert story.shares() == [0.25, 0.5, 105.0, 10.0]
    assert story.registry.get_sample_value("rljob_wait_ratio") == 0.25
    assert story.registry.get_sample_value("rljob_held_ratio") == 0.5


def test_a_window_of_a_minute_and_of_two_batches(story: Story) -> None:
    story.look(a=0.0)
    story.batch(500, wait=500, a=0.0)
    assert story.shares() == [None] * 4  # one batch tells nothing of the next
    story.batch(40, wait=0, a=40.0)
    story.batch(40, wait=20, a=60.0)
    assert story.shares()[:3] == [0.25, 0.25, 80.0]  # the first one has left the window
    for _ in range(60):
        story.batch(1, wait=1, a=60.0)
    assert story.shares()[:3] == [1.0, 1.0, 60.0]


def test_short_batches_tell_nothing_before_a_minute(story: Story) -> None:
    story.look(a=0.0)
    for second in range(59):
        story.batch(1, wait=0, a=second + 1.0)
        assert story.shares() == [None] * 4
    story.batch(1, wait=0, a=60.0)
    assert story.shares() == [0.0, 0.0, 60.0, 0.0]


def test_what_is_older_than_the_window_is_long_is_not_told(story: Story) -> None:
    story.look(a=0.0)
    story.batch(30, wait=0, a=30.0)
    story.batch(40, wait=0, a=70.0)
    story.now += 70
    assert story.shares()[:2] == [0.0, 0.0]
    story.now += 0.1
    assert story.shares() == [None] * 4
    assert math.isnan(story.registry.get_sample_value("rljob_wait_ratio") or 0)


def test_engines_that_come_and_go(story: Story) -> None:
    story.look(a=10.0)
    story.now += 20
    story.look(a=30.0, b=5.0)  # b began after the first look: all its time is of this batch
    story.batch(20, wait=0, b=25.0)  # a has gone, with what it did since
    story.batch(40, wait=0, b=65.0)
    # 20 s of one engine, 20 s of two, 40 s of one; busy 20 + 5 + 20 + 40.
    assert story.shares()[1] == round(1 - 85 / 100, 4)


def test_an_evaluation_is_left_out(story: Story) -> None:
    story.look(a=0.0)
    story.batch(30, wait=0, a=30.0)
    story.utilization.skip()
    story.now += 1000
    story.look(a=730.0)
    story.batch(30, wait=15, a=745.0)
    assert story.shares()[:2] == [0.25, 0.25]


def test_the_load_is_the_last_told(story: Story) -> None:
    assert story.utilization.status()["engine_load"] == {}
    story.look(a=0.0, b=0.0)
    assert story.utilization.status()["engine_load"] == {"a": 3, "b": 3}
    story.look(b=0.0)
    assert story.utilization.status()["engine_load"] == {"b": 3}
