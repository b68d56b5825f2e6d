"""Rewards that depend on the response's length."""

import pytest

from rljob_rollout.rewards.length import length
from rljob_rollout.rewards.overlong import overlong
from tests.rollout.rewards.samples import sample

# DAPO's setting (arXiv 2503.14476, section 4.1): at most 20480 tokens, the last 4096 a buffer.
DAPO = [(16384, 0.0), (1, 0.0), (18432, -0.5), (20480, -1.0), (16385, -1 / 4096)]


@pytest.mark.parametrize(("tokens", "reward"), DAPO)
def test_the_penalty_grows_over_the_buffer(tokens: int, reward: float) -> None:
    one = sample("", response_tokens=[7] * tokens, max_response_tokens=20480)
    assert overlong(one, buffer_tokens=4096) == reward


def test_an_episode_beyond_the_limit_is_punished_no_further() -> None:
    one = sample("", response_tokens=[7] * 30, max_response_tokens=16)
    assert overlong(one, buffer_tokens=4) == -1.0


def test_length_is_a_share_of_what_is_allowed() -> None:
    assert length(sample("", response_tokens=[7] * 4, max_response_tokens=16)) == 0.25
