"""Rewards of slime, judged in real processes."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rljob.api.reward import RewardSpec, only
from rljob.errors import UsageError
from rljob_rollout.judging.scorer import Judgement, Scorer
from rljob_rollout.rewards import RewardInput
from tests.rollout.spec import spec_of

HOOKS = ("judge", "judge_async", "judge_group", "CustomRewardModel")


def sample(response: str, index: int) -> RewardInput:
    return RewardInput(
        prompt="4093>",
        response=response,
        plain_response=response,
        label="0349",
        metadata={"source": "train.jsonl:3"},
        response_tokens=[3, 6],
        status="completed",
        index=index,
        prompt_tokens=[7, 3],
        returned={"told": 2.0, "attributes": {"kept": [0.5]}},
    )


SAMPLES = [sample("0349", 0), sample("09", 1)]


@pytest.fixture(scope="module")
def scores() -> Iterator[Any]:
    """Judges both samples by a hook, in one process for all tests."""
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.syspath_prepend(Path(__file__).parent / "code")
        evaluation = [
            {"name": name, "prompts": "/none", "reward": {"type": f"slime_hooks:{name}"}}
            for name in HOOKS
        ]
        scorer = Scorer(
            spec_of(
                evaluation=evaluation,
                rollout__reward__type="slime_hooks:judge",
                rollout__rewardProcesses=1,
                rollout__slimeArguments={"reward_key": "score", "bonus": 0.25},
            )
        )

        def judge(name: str, **changes: Any) -> Sequence[Judgement]:
            spec = only(RewardSpec(type=f"slime_hooks:{name}", retries=0, **changes))
            return runner.run(scorer.score([spec], SAMPLES))

        yield judge
        runner.run(scorer.close())


def test_a_plain_function_gets_args_and_a_sample(scores: Any) -> None:
    assert [each.reward for each in scores("judge")] == [1.25, 0.25]


def test_an_async_function_may_return_a_dict(scores: Any) -> None:
    found = scores("judge_async")
    assert [each.reward for each in found] == [2.5, 2.5]
    assert [each.metadata for each in found] == [{"length": 2}] * 2


def test_a_function_judges_a_group(scores: Any) -> None:
    assert [each.reward for each in scores("judge_group", group=True)] == [1.0, 0.0]


def test_a_model_is_made_once_and_judges_a_group(scores: Any) -> None:
    for _ in range(2):
        found = scores("CustomRewardModel", group=True)
        assert [each.reward for each in found] == [14.0, 12.0]


def test_a_model_wants_a_group(scores: Any) -> None:
    with pytest.raises(UsageError, match=r"found group false.*allowed: group: true"):
        scores("CustomRewardModel")
