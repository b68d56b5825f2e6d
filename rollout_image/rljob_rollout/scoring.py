"""The judging of a group's responses: limits of time, repetitions, what a reward may return."""

import asyncio
import inspect
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from rljob import thread
from rljob.api import RLJobSpec
from rljob.api.rollout import RewardSpec
from rljob.errors import UsageError
from rljob_rollout.rewards import Reward, RewardInput, load_reward

log = structlog.get_logger()

_SHOWN = 200  # characters of a value or a text in a message


class ScoringError(Exception):
    """A reward failed for a sample, also when it was asked again."""


class Score:
    """A reward and what else the function said of the sample."""

    def __init__(self, reward: float, metadata: dict[str, Any]) -> None:
        self.reward = reward
        self.metadata = metadata


class Scorer:
    """The rewards of a job."""

    def __init__(self, spec: RLJobSpec) -> None:
        """Loads every reward that the job names.

        Raises:
            UsageError: one of them does not import.
        """
        self._rewards: dict[str, Reward] = {}
        self._load(spec.rollout.reward.type, "spec.rollout.reward.type")
        for index, evaluation in enumerate(spec.evaluation):
            if evaluation.reward is not None:
                self._load(evaluation.reward.type, f"spec.evaluation[{index}].reward.type")

    async def score(self, spec: RewardSpec, samples: Sequence[RewardInput]) -> list[Score]:
        """The scores of a group's samples.

        Raises:
            UsageError: a label is none that the reward can judge by.
            ScoringError: the reward failed in all attempts; it names the reward and the reason.
        """
        reward = self._load(spec.type, "reward")
        attempts = spec.retries + 1
        for attempt in range(1, attempts + 1):
            try:
                values = await _values(reward, samples, spec.timeout_seconds)
                return [
                    _score(value, sample) for value, sample in zip(values, samples, strict=True)
                ]
            except ScoringError as error:
                reason = f"reward {spec.type}: {error}"
                if attempt == attempts:
                    raise ScoringError(f"{reason} (attempts: {attempts})") from error
                log.warning("reward.failed", reason=reason, attempt=attempt, attempts=attempts)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _load(self, type_: str, field: str) -> Reward:
        if type_ not in self._rewards:
            self._rewards[type_] = load_reward(type_, field)
        return self._rewards[type_]


async def _values(reward: Reward, samples: Sequence[RewardInput], timeout: float) -> list[Any]:
    # An instance may be asynchronous by its class.
    if any(map(inspect.iscoroutinefunction, (reward, type(reward).__call__))):
        return list(await asyncio.gather(*(_awaited(reward, s, timeout) for s in samples)))
    return await _Run(reward, samples).values(timeout)


async def _awaited(reward: Reward, sample: RewardInput, timeout: float) -> Any:
    try:
        async with asyncio.timeout(timeout):
            return await reward(sample)
    except TimeoutError as error:
        raise ScoringError(_too_long(sample, timeout)) from error
    except UsageError:
        raise
    # The user's own code may raise whatever it likes.
    except Exception as error:
        raise ScoringError(_raised(sample, error)) from error


class _Run:
    """One pass of a plain function over a group, in a thread that is left behind if it hangs.

    One thread a group: a thread a sample would cost more than most rewards.
    """

    def __init__(self, reward: Reward, samples: Sequence[RewardInput]) -> None:
        self._reward = reward
        self._samples = samples
        self._current = (0, time.monotonic())  # the sample being judged, and since when

    async def values(self, timeout: float) -> list[Any]:
        """What the function returned for each sample, of which none may take over `timeout` s."""
        judged = thread.start(self._judge, "reward")
        while True:
            index, since = self._current
            left = since + timeout - time.monotonic()
            if left <= 0:
                judged.cancel()
                raise ScoringError(_too_long(self._samples[index], timeout))
            done, _ = await asyncio.wait([judged], timeout=left)
            if done:
                return judged.result()

    def _judge(self) -> list[Any]:
        values = []
        for index, sample in enumerate(self._samples):
            self._current = (index, time.monotonic())
            try:
                values.append(self._reward(sample))
            except UsageError:
                raise
            # The user's own code may raise whatever it likes.
            except Exception as error:
                raise ScoringError(_raised(sample, error)) from error
        return values


def _score(value: Any, sample: RewardInput) -> Score:
    metadata: dict[str, Any] = {}
    number = value
    if isinstance(value, Mapping):
        metadata = {str(key): item for key, item in value.items() if key != "reward"}
        number = value.get("reward")
    try:
        # A text that reads like a number is most likely a mistake.
        reward = math.nan if isinstance(number, str | bytes | None) else float(number)
    except (TypeError, ValueError):
        reward = math.nan
    if not math.isfinite(reward):
        raise ScoringError(
            f"returned {_short(value)} for {_place(sample)}; allowed: a finite number, or a dict "
            'with one as "reward"'
        )
    try:
        json.dumps(metadata)
    except (TypeError, ValueError) as error:
        raise ScoringError(
            f"returned {_short(value)} for {_place(sample)}: {error}; allowed beside the reward: "
            "JSON values"
        ) from error
    return Score(reward, metadata)


def _too_long(sample: RewardInput, timeout: float) -> str:
    return f"took more than {timeout:g} s (timeoutSeconds) for {_place(sample)}"


def _raised(sample: RewardInput, error: Exception) -> str:
    return f"raised {type(error).__name__}: {error} for {_place(sample)}"


def _place(sample: RewardInput) -> str:
    source = sample.metadata.get("source")
    where = f" ({source})" if source else ""
    return f"the response {_short(sample.response)}, label {_short(sample.label)}{where}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
