"""A penalty that begins before a response is cut."""

from rljob_rollout.rewards.sample import RewardInput


def overlong(sample: RewardInput, buffer_tokens: int) -> float:
    """0 for a response that leaves the buffer free, -1 for one that fills it, linear between.

    Args:
        sample: with L tokens, of at most M.
        buffer_tokens: B, the last part of M. The reward is (M - B - L) / B, within [-1, 0].

    Source: soft overlong punishment of DAPO (arXiv 2503.14476, equation 13).
    """
    free = sample.max_response_tokens - buffer_tokens - len(sample.response_tokens)
    return min(0.0, max(-1.0, free / buffer_tokens))
