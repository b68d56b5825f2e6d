"""A random reward, for trying out a job and as a baseline."""

from random import Random

from rljob_rollout.rewards.sample import RewardInput


def random(sample: RewardInput) -> float:
    """A uniformly distributed number from 0 to 1; the same for the same index of the same group."""
    # Random hashes a text seed, so neighbouring seeds give independent numbers.
    return Random(f"{sample.seed} {sample.index}").random()  # noqa: S311 - no secret
