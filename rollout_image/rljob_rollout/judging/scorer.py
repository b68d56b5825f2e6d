"""Judges a group's responses, with retries and a score for samples that can't be judged."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from rljob.api import RLJobSpec
from rljob.api.reward import NamedRewardSpec, RewardSpec, of_prompt
from rljob.buffer.records import REWARD_ERROR
from rljob.errors import UsageError
from rljob.slime.arguments import arguments_of
from rljob_rollout.judging.pool import RewardPool
from rljob_rollout.judging.server import ServedReward, served
from rljob_rollout.judging.verdict import Failure, Score, Verdict, short
from rljob_rollout.rewards import NAMES, RewardInput

log = structlog.get_logger()


class ScoringError(Exception):
    """The user's reward failed for a sample, even after all retries."""


@dataclass(frozen=True)
class Judgement:
    """What a sample earns.

    Args:
        reward: the sum of weight times reward.
        rewards: each reward by its name.
        metadata: what a reward said besides. Of several rewards, by their names.
    """

    reward: float
    rewards: dict[str, float]
    metadata: dict[str, Any]


class Scorer:
    """The rewards of a job."""

    def __init__(self, spec: RLJobSpec, replica: int = 0) -> None:
        """Loads every reward that the job names, in the processes that judge.

        Args:
            spec: the job's.
            replica: the worker's number, for log lines.

        Raises:
            UsageError: one of them can't be imported, or a variable with a key is not set.
        """
        training = spec.rollout.all_rewards
        places: list[tuple[str, RewardSpec]] = [
            ("spec.rollout.reward" if not spec.rollout.rewards else f"spec.rollout.rewards[{n}]", r)
            for n, r in enumerate(training)
        ]
        places += [
            (f"spec.evaluation[{n}].reward", evaluation.reward)
            for n, evaluation in enumerate(spec.evaluation)
            if evaluation.reward is not None
        ]
        self._served: dict[tuple[str | None, ...], ServedReward] = {}
        loaded: dict[str, str] = {}
        for place, reward in places:
            if reward.url is None:
                loaded.setdefault(reward.type, f"{place}.type")
            else:
                self._server(reward, place)
        self._pool = RewardPool(loaded, spec.rollout.reward_processes, replica, arguments_of(spec))

    async def score(
        self, specs: Sequence[NamedRewardSpec], samples: Sequence[RewardInput]
    ) -> list[Judgement]:
        """What each sample of a group earns by these rewards.

        Raises:
            UsageError: a reward can't judge by a label, or its server can't be used.
            ScoringError: the user's reward failed for a sample in all attempts, and the job sets
                no failure reward; the error names the reward and the reason.
        """
        scores = await _all(self._judged(spec, samples) for spec in specs)
        return [_sum(specs, of_sample) for of_sample in zip(*scores, strict=True)]

    @property
    def outages(self) -> list[str]:
        """A sentence about each server that does not answer at the moment."""
        return [outage for each in self._served.values() if (outage := each.outage) is not None]

    async def close(self) -> None:
        """Kills the processes that judge, and closes connections."""
        self._pool.close()
        for each in self._served.values():
            await each.close()

    def _server(self, spec: RewardSpec, place: str) -> ServedReward:
        """The client of a reward's server; its address may change while the worker runs."""
        key = (spec.type, spec.url, spec.api_key_variable)
        if key not in self._served:
            self._served[key] = served(spec, place)
        return self._served[key]

    async def _judged(self, spec: NamedRewardSpec, samples: Sequence[RewardInput]) -> list[Score]:
        """The scores of one reward."""
        prompt = samples[0]
        where = str(prompt.metadata.get("source", f"prompt {short(prompt.prompt)}"))
        spec = of_prompt(spec, prompt.metadata, where)
        if spec.group:
            return await self._group(spec, samples)
        first: Sequence[Verdict | None] = [None] * len(samples)
        if spec.url is not None or await self._pool.is_async(spec.type):
            first = await self._together(spec, samples)
        return await _all(
            self._score(spec, sample, found) for sample, found in zip(samples, first, strict=True)
        )

    async def _together(
        self, spec: NamedRewardSpec, samples: Sequence[RewardInput]
    ) -> Sequence[Verdict]:
        if spec.url is not None:
            return await self._server(spec, f"reward {spec.name}").judge(spec, samples)
        return await self._pool.judge_together(spec, samples)

    async def _alone(self, spec: NamedRewardSpec, sample: RewardInput) -> Verdict:
        if spec.url is not None:
            return (await self._together(spec, [sample]))[0]
        return await self._pool.judge(spec, sample)

    async def _score(
        self, spec: NamedRewardSpec, sample: RewardInput, found: Verdict | None
    ) -> Score:
        for attempt in range(1, _attempts(spec) + 1):
            if found is None:
                found = await self._alone(spec, sample)
            if isinstance(found, Score):
                return found
            failure, found = found, None
            _warn(spec, sample, failure, attempt)
        return _instead(spec, sample, failure)

    async def _group(self, spec: NamedRewardSpec, samples: Sequence[RewardInput]) -> list[Score]:
        """The scores of a function that judges a group at once; all samples or none are retried."""
        for attempt in range(1, _attempts(spec) + 1):
            found = await self._pool.judge_group(spec, samples)
            failures = [
                (sample, each)
                for sample, each in zip(samples, found, strict=True)
                if isinstance(each, Failure)
            ]
            if not failures:
                break
            _warn(spec, *failures[0], attempt)
        return [
            each if isinstance(each, Score) else _instead(spec, sample, each)
            for sample, each in zip(samples, found, strict=True)
        ]


def _attempts(spec: NamedRewardSpec) -> int:
    # Built-in rewards depend on the sample alone: a retry would give the same result.
    return 1 if spec.type in NAMES else spec.retries + 1


def _warn(spec: NamedRewardSpec, sample: RewardInput, failure: Failure, attempt: int) -> None:
    """Logs that judging failed.

    Raises:
        UsageError: another attempt would fail too, until the user changes something.
    """
    if failure.is_usage:
        raise UsageError(failure.what)
    log.warning(
        "reward.failed",
        reason=_reason(spec, sample, failure),
        attempt=attempt,
        attempts=_attempts(spec),
    )


def _instead(spec: NamedRewardSpec, sample: RewardInput, failure: Failure) -> Score:
    """The score of a sample that could not be judged.

    Raises:
        ScoringError: there is none.
    """
    reward = 0.0 if spec.type in NAMES else None
    if spec.failure_reward is not None:
        reward = spec.failure_reward
    if reward is None:
        reason = _reason(spec, sample, failure)
        raise ScoringError(f"{reason} (attempts: {_attempts(spec)})")
    return Score(reward, {REWARD_ERROR: failure.what})


def _reason(spec: NamedRewardSpec, sample: RewardInput, failure: Failure) -> str:
    source = sample.metadata.get("source")
    where = f" ({source})" if source else ""
    place = f"the response {short(sample.response)}, label {short(sample.label)}{where}"
    return f"reward {spec.type}: {failure.what} for {place}"


def _sum(specs: Sequence[NamedRewardSpec], scores: Sequence[Score]) -> Judgement:
    pairs = list(zip(specs, scores, strict=True))
    errors = [
        error if len(specs) == 1 else f"{spec.name}: {error}"
        for spec, score in pairs
        if (error := score.metadata.get(REWARD_ERROR)) is not None
    ]
    said = {
        spec.name: {key: value for key, value in score.metadata.items() if key != REWARD_ERROR}
        for spec, score in pairs
    }
    metadata = said[specs[0].name] if len(specs) == 1 else {n: m for n, m in said.items() if m}
    return Judgement(
        reward=sum(spec.weight * score.reward for spec, score in pairs),
        rewards={spec.name: score.reward for spec, score in pairs},
        metadata={**metadata, REWARD_ERROR: "; ".join(errors)} if errors else metadata,
    )


async def _all(awaitables: Any) -> list[Any]:
    """The results of all, once the last is there; raises the error that most concerns the user."""
    # Let the others finish, rather than kill processes that are judging.
    found = await asyncio.gather(*awaitables, return_exceptions=True)
    for kind in (UsageError, BaseException):
        for each in found:
            if isinstance(each, kind):
                raise each
    return found
