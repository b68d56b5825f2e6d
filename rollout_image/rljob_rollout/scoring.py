"""Judges a group's responses, with retries and a score for samples that can't be judged."""

import asyncio
from collections.abc import Sequence

import structlog

from rljob.api import RLJobSpec
from rljob.api.rollout import RewardSpec
from rljob.buffer.records import REWARD_ERROR
from rljob.errors import UsageError
from rljob_rollout.reward_pool import RewardPool
from rljob_rollout.rewards import NAMES, RewardInput
from rljob_rollout.verdict import Score, Verdict, short

log = structlog.get_logger()


class ScoringError(Exception):
    """The user's reward failed for a sample, even after all retries."""


class Scorer:
    """The rewards of a job."""

    def __init__(self, spec: RLJobSpec, replica: int = 0) -> None:
        """Loads every reward that the job names, in the processes that judge.

        Args:
            spec: the job's.
            replica: the worker's number, for log lines.

        Raises:
            UsageError: one of them can't be imported.
        """
        rewards = {spec.rollout.reward.type: "spec.rollout.reward.type"}
        for index, evaluation in enumerate(spec.evaluation):
            if evaluation.reward is not None:
                rewards.setdefault(evaluation.reward.type, f"spec.evaluation[{index}].reward.type")
        self._pool = RewardPool(rewards, spec.rollout.reward_processes, replica)

    async def score(self, spec: RewardSpec, samples: Sequence[RewardInput]) -> list[Score]:
        """The scores of a group's samples.

        Raises:
            UsageError: the reward can't judge by a label.
            ScoringError: the user's reward failed for a sample in all attempts, and the job sets
                no failure reward; the error names the reward and the reason.
        """
        first: Sequence[Verdict | None] = [None] * len(samples)
        if await self._pool.is_async(spec.type):
            first = await self._pool.judge_together(spec, samples)
        scores = await asyncio.gather(
            *(self._score(spec, *each) for each in zip(samples, first, strict=True)),
            # Let the others finish, rather than kill processes that are judging.
            return_exceptions=True,
        )
        for kind in (UsageError, BaseException):
            for score in scores:
                if isinstance(score, kind):
                    raise score
        return [score for score in scores if isinstance(score, Score)]

    def close(self) -> None:
        """Kills the processes that judge."""
        self._pool.close()

    async def _score(self, spec: RewardSpec, sample: RewardInput, found: Verdict | None) -> Score:
        # Built-in rewards depend on the sample alone: a retry would give the same result.
        is_of_hub = spec.type in NAMES
        attempts = 1 if is_of_hub else spec.retries + 1
        reason = ""
        for attempt in range(1, attempts + 1):
            if found is None:
                found = await self._pool.judge(spec, sample)
            if isinstance(found, Score):
                return found
            if found.is_usage:
                raise UsageError(found.what)
            reason = f"reward {spec.type}: {found.what} for {_place(sample)}"
            log.warning("reward.failed", reason=reason, attempt=attempt, attempts=attempts)
            failure, found = found, None
        reward = 0.0 if is_of_hub else None
        if spec.failure_reward is not None:
            reward = spec.failure_reward
        if reward is None:
            raise ScoringError(f"{reason} (attempts: {attempts})")
        return Score(reward, {REWARD_ERROR: failure.what})


def _place(sample: RewardInput) -> str:
    source = sample.metadata.get("source")
    where = f" ({source})" if source else ""
    return f"the response {short(sample.response)}, label {short(sample.label)}{where}"
