"""A reward without meaning, to try a job out and as a baseline."""

from random import random as draw

from rljob_rollout.rewards.sample import RewardInput


def random(sample: RewardInput) -> float:
    """A number from 0 to 1, evenly distributed."""
    return draw()  # noqa: S311 - nothing is kept secret by it
