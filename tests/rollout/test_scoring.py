"""Limits of time, repetitions, and what a reward may return."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rljob.api.rollout import RewardSpec
from rljob.errors import UsageError
from rljob_rollout.rewards import RewardInput
from rljob_rollout.scoring import Scorer, ScoringError
from tests.rollout.spec import spec_of


@pytest.fixture(autouse=True)
def rewards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(Path(__file__).parent / "code")
    import odd_rewards

    odd_rewards.calls.clear()
    yield
    odd_rewards._block.set()  # ends the threads that were left behind
    odd_rewards._block = type(odd_rewards._block)()


def sample(response: str = "0349", label: Any = "0349") -> RewardInput:
    return RewardInput(
        prompt="4093>",
        response=response,
        label=label,
        metadata={"source": "train.jsonl:7"},
        response_tokens=[3, 6, 7, 12],
        status="completed",
    )


def scores(hook: str, *samples: RewardInput, retries: int = 0, timeout: float = 30) -> list[Any]:
    """(reward, metadata) of each sample."""
    spec = RewardSpec(type=hook, retries=retries, timeout_seconds=timeout)
    scorer = Scorer(spec_of(rollout__reward={"type": hook}))
    found = asyncio.run(scorer.score(spec, samples or [sample()]))
    return [(score.reward, score.metadata) for score in found]


def test_a_group_is_scored_in_order() -> None:
    found = scores("exact", sample("0349"), sample("9"), sample(" 0349 "))
    assert [reward for reward, _ in found] == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("hook", ["odd_rewards:asynchronous", "odd_rewards:judge"])
def test_a_reward_may_be_asynchronous(hook: str) -> None:
    assert scores(hook, sample("ab"))[0][0] == {"odd_rewards:asynchronous": 2.0}.get(hook, 0.5)


def test_what_a_reward_says_besides_stays_with_the_sample() -> None:
    assert scores("odd_rewards:with_parts", sample("a b")) == [
        (0.25, {"format": 1, "words": ["a", "b"]})
    ]


def test_a_failure_that_passes_is_survived() -> None:
    assert scores("odd_rewards:fails_once", retries=1) == [(1.0, {})]


@pytest.mark.parametrize("hook", ["odd_rewards:hangs", "odd_rewards:asynchronous_hangs"])
def test_a_reward_that_hangs_is_given_up(hook: str) -> None:
    with pytest.raises(ScoringError) as raised:
        scores(hook, timeout=0.05, retries=1)
    assert f"reward {hook}: took more than 0.05 s (timeoutSeconds)" in str(raised.value)
    assert "'0349'" in str(raised.value)
    assert "(attempts: 2)" in str(raised.value)


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("odd_rewards:raises", "raised KeyError: 'answer'"),
        ("odd_rewards:nan", "returned nan"),
        ("odd_rewards:text", "returned '0.5'"),
        ("odd_rewards:nothing", "returned None"),
        ("odd_rewards:with_an_object", "Object of type object is not JSON serializable"),
    ],
)
def test_what_went_wrong_is_named_with_the_hook_and_the_line(hook: str, said: str) -> None:
    with pytest.raises(ScoringError) as raised:
        scores(hook)
    message = str(raised.value)
    assert message.startswith(f"reward {hook}: ")
    assert said in message
    assert "(train.jsonl:7)" in message


def test_a_label_of_the_wrong_type_is_the_users_mistake_and_not_tried_again() -> None:
    with pytest.raises(UsageError, match=r"train\.jsonl:7: reward f1: the label is 5, a int"):
        scores("f1", sample(label=5), retries=3)


def test_every_attempt_judges_anew() -> None:
    import odd_rewards

    with pytest.raises(ScoringError):
        scores("odd_rewards:raises", retries=2)
    assert len(odd_rewards.calls) == 3
