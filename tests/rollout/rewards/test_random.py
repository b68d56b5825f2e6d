"""The random reward."""

import statistics

from rljob_rollout.rewards.random import random
from tests.rollout.rewards.samples import sample


def test_it_depends_on_the_place_in_the_group_and_on_nothing_else():
    first = random(sample("a", "b", index=3, seed=11))
    assert first == random(sample("c", "d", index=3, seed=11))
    assert first != random(sample("a", "b", index=4, seed=11))
    assert first != random(sample("a", "b", index=3, seed=12))
    assert first == 0.5542116426521472  # as another process drew it


def test_it_is_evenly_distributed():
    values = [
        random(sample("", index=index, seed=seed)) for seed in range(64) for index in range(64)
    ]
    assert all(0 <= value < 1 for value in values)
    # Standard errors of 4096 even numbers: 0.0045 of the mean, 0.0020 of the deviation.
    assert abs(statistics.fmean(values) - 1 / 2) < 0.02
    assert abs(statistics.pstdev(values) - 12**-0.5) < 0.01
