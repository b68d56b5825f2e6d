"""Warnings of a collapsed entropy or reward: each once, and not for what is usual."""

import json
import math
import random

import pytest

from rljob_trainer.telemetry.collapse import Collapse


class Told:
    """What a run with these entropies and rewards is told: the batch of each incident."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self.messages: list[str] = []
        self.rollout = 0
        self.collapse = Collapse(self._tell)

    def batch(self, *, entropy: float = 1.0, reward: float = 0.5, std: float = 0.4) -> None:
        self.rollout += 1
        metrics = {"loss/entropy": entropy, "reward/mean": reward, "reward/std": std}
        self.collapse.batch(self.rollout, metrics)

    def _tell(self, event: str, message: str) -> None:
        self.events.append((event, self.rollout))
        self.messages.append(message)


def test_entropy_below_a_twentieth_for_five_batches_is_told_once() -> None:
    told = Told()
    for entropy in (2.0, 1.0, 0.2, 0.1, *[0.09] * 4, 0.11, *[0.09] * 20):
        told.batch(entropy=entropy)
    # 0.1 is not below 5 % of 2; the first four of 0.09 end with 0.11; the fifth after it is due.
    assert told.events == [("entropy.collapsed", 14)]
    assert (
        "batch 14: the entropy is 0.09 nats, and has been below 5% of the first"
        in (told.messages[0])
    )


def test_an_entropy_that_halves_twice_is_usual() -> None:
    told = Told()
    for rollout in range(200):
        told.batch(entropy=0.8 * 0.25 ** (rollout / 200))
    assert told.events == []


def test_a_batch_without_an_entropy_is_passed_over() -> None:
    told = Told()
    for entropy in (math.nan, 2.0, *[0.01, math.nan] * 4):
        told.batch(entropy=entropy)
    told.collapse.batch(11, {"reward/mean": 0.5, "reward/std": 0.4})  # only the critic learns
    assert told.events == []
    told.rollout = 11
    told.batch(entropy=0.01)
    assert told.events == [("entropy.collapsed", 12)]


def test_reward_below_half_of_its_best_is_told_once() -> None:
    """Five of 0.8; then the mean of the last five is 0.64, 0.48, 0.32: below 0.4 at batch 8."""
    told = Told()
    for reward in (*[0.8] * 5, *[0.0] * 20):
        told.batch(reward=reward)
    assert told.events == [("reward.collapsed", 8)]
    assert "the last 5 batches is 0.32; the best of 5 in a row was 0.8" in told.messages[0]


@pytest.mark.parametrize(
    ("before", "after", "std", "is_told"),
    [
        (-1.0, -1.4, 0.5, False),  # less than half
        (-1.0, -1.6, 0.5, True),
        (0.07, 0.0, 0.2, False),  # all of it, but within 0.4 deviations, 0.08
        (0.09, 0.0, 0.2, True),
        (0.0, -0.07, 0.2, False),
        (0.0, -0.09, 0.2, True),
        (100.0, 60.0, 10.0, False),
        (100.0, 40.0, 10.0, True),
    ],
)
def test_the_scale_of_rewards_does_not_matter(
    before: float, after: float, std: float, is_told: bool
) -> None:
    told = Told()
    for reward in (*[before] * 5, *[after] * 5):
        told.batch(reward=reward, std=std)
    assert bool(told.events) == is_told


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9])
def test_noise_is_not_told(share: float) -> None:
    """Rewards of 0 or 1 of 64 samples in a batch, a thousand batches long."""
    dice = random.Random(3)
    told = Told()
    for _ in range(1000):
        rewards = [float(dice.random() < share) for _ in range(64)]
        mean = sum(rewards) / 64
        told.batch(reward=mean, std=math.sqrt(mean * (1 - mean)))
    assert told.events == []


def test_a_resumed_run_goes_on_and_tells_nothing_again() -> None:
    told = Told()
    for _ in range(7):
        told.batch(entropy=1.0, reward=0.8)
    for _ in range(2):
        told.batch(entropy=0.01, reward=0.0)
    resumed = Told()
    resumed.rollout = told.rollout
    resumed.collapse.load(json.loads(json.dumps(told.collapse.save())))
    for _ in range(5):
        resumed.batch(entropy=0.01, reward=0.0)
    assert resumed.events == [("reward.collapsed", 10), ("entropy.collapsed", 12)]
    again = Told()
    again.collapse.load(json.loads(json.dumps(resumed.collapse.save())))
    for _ in range(9):
        again.batch(entropy=0.01, reward=0.0)
    assert again.events == []


def test_a_checkpoint_of_before_holds_nothing_of_it() -> None:
    told = Told()
    told.collapse.load(None)
    told.batch()
    assert told.events == []
