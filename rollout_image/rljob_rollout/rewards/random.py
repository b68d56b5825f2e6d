"""A reward without meaning, to try a job out and as a baseline."""

from random import Random

from rljob_rollout.rewards.sample import RewardInput


def random(sample: RewardInput) -> float:
    """A number from 0 to 1, evenly distributed, the same for the same place in the same group."""
    # A text as seed is hashed: neighbours are as independent as any.
    return Random(f"{sample.seed} {sample.index}").random()  # noqa: S311 - no secret
