"""Length as a reward."""

from rljob_rollout.rewards.sample import RewardInput


def length(sample: RewardInput) -> float:
    """The share of `maxResponseTokens` that the response uses; a weight below 0 shortens it."""
    return len(sample.response_tokens) / sample.max_response_tokens
