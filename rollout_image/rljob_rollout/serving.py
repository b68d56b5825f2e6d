"""Turns a leased group into a completion: responses, rewards, result."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from rljob.api.reward import NamedRewardSpec
from rljob.buffer.client import WorkerBuffer
from rljob.buffer.records import (
    Completion,
    Group,
    Lease,
    Partial,
    Response,
    Sample,
)
from rljob.errors import UsageError
from rljob_rollout.answer import Answer, of_response
from rljob_rollout.episodes.player import EpisodeError, Player
from rljob_rollout.episodes.session import InterruptedEpisodeError
from rljob_rollout.generation import EngineClient, RefusedError
from rljob_rollout.hand import Hand
from rljob_rollout.judging.scorer import Judgement, Scorer, ScoringError
from rljob_rollout.rewards import RewardInput
from rljob_rollout.tokenizer import ResponseTokenizer
from rljob_rollout.worker_metrics import WorkerMetrics

log = structlog.get_logger()

# Bounds of one request. More samples at once are cheaper with small models. But a request is only
# answered when its slowest sample is done, so groups with long responses get one request each.
_MOST_SAMPLES = 256
_MOST_TOKENS = 8192


@dataclass(frozen=True)
class Failed:
    """Why a group has no answers; `is_usage`: the user has to change something."""

    reason: str
    is_usage: bool


# Partial: it was interrupted, and can be continued; None: from the start.
Generated = list[Answer] | Partial | Failed | None


class Serving:
    """Generates, scores and completes groups."""

    def __init__(
        self,
        *,
        worker: str,
        buffer: WorkerBuffer,
        hand: Hand,
        client: EngineClient,
        tokenizer: ResponseTokenizer,
        scorer: Scorer,
        metrics: WorkerMetrics,
        player: Player | None = None,
    ) -> None:
        """`player` plays the groups with the user's generate function; None: one turn each."""
        self._player = player
        self._worker = worker
        self._buffer = buffer
        self._hand = hand
        self._client = client
        self._tokenizer = tokenizer
        self._scorer = scorer
        self._metrics = metrics

    async def generate(self, leases: Sequence[Lease]) -> list["Generated"]:
        """What became of each group.

        Raises:
            EngineSilentError: the engine does not answer.
            UsageError: the user has to change something.
        """
        if self._player is not None:
            return [await self._play(self._player, lease.group) for lease in leases]
        try:
            responses = await self._client.generate(leases)
        except RefusedError as error:
            if len(leases) > 1:  # the engine does not say which group it refuses
                return [(await self.generate([lease]))[0] for lease in leases]
            where = leases[0].group.metadata.get("source", f"group {leases[0].group.id}")
            return [Failed(f"{where}: the engine refuses the prompt: {error}", is_usage=True)]
        return [
            self._answers(lease.group, found)
            for lease, found in zip(leases, responses, strict=True)
        ]

    async def finish(self, lease: Lease, generated: "Generated", leased: float) -> None:
        """Scores a group's answers and completes it; gives it back if it was interrupted.

        Args:
            lease: the group; if it has been lost meanwhile, nothing is done.
            generated: what became of it.
            leased: unix seconds at which the group was leased.
        """
        if lease not in self._hand:
            return
        group = lease.group
        if isinstance(generated, Partial | None):
            await self._buffer.release(lease, generated)
            self._hand.drop(lease)
            tokens = 0 if generated is None else generated.tokens
            log.info("group.given_back", group=group.id, tokens=tokens)
            return
        samples: tuple[Sample, ...] = ()
        failed = generated if isinstance(generated, Failed) else None
        if not isinstance(generated, Failed):
            try:
                samples = await self._score(group, generated)
            except (UsageError, ScoringError) as error:
                failed = Failed(str(error), is_usage=isinstance(error, UsageError))
        await self._complete(lease, samples, failed, leased)

    def portions(self, leases: Sequence[Lease]) -> list[list[Lease]]:
        """Leases that are generated together: those of a request, or each alone for episodes."""
        return portions(leases) if self._player is None else [[lease] for lease in leases]

    async def interrupt(self) -> None:
        """Ends all generation; unfinished groups are given back with their partial responses."""
        await self._client.interrupt()

    async def give_up(self, lease: Lease, leased: float) -> None:
        """Completes a group as failed, because it was lost or not generated too many times."""
        count = lease.attempt - 1
        attempts = "1 attempt" if count == 1 else f"{count} attempts"
        reason = f"gave up after {attempts}: the worker was lost or its engine did not answer"
        await self._complete(lease, (), Failed(reason, is_usage=False), leased)

    async def _complete(
        self,
        lease: Lease,
        samples: tuple[Sample, ...],
        failed: "Failed | None",
        leased: float,
    ) -> None:
        group = lease.group
        if failed is not None:
            log.warning("group.failed", group=group.id, reason=failed.reason)
        completion = Completion(
            group=group.id,
            incarnation=group.incarnation,
            worker=self._worker,
            samples=samples,
            failure=None if failed is None else failed.reason,
            failure_is_usage=failed is not None and failed.is_usage,
            leased=leased,
            finished=time.time(),
        )
        first = await self._buffer.complete(lease, completion)
        self._hand.drop(lease)
        if first:
            self._metrics.completed(samples, failed=failed is not None)
            self._metrics.held(completion.finished - leased)

    async def _play(self, player: Player, group: Group) -> "Generated":
        try:
            return await player.play(group)
        except InterruptedEpisodeError:
            return None
        except UsageError as error:
            return Failed(str(error), is_usage=True)
        except EpisodeError as error:
            return Failed(str(error), is_usage=False)

    def _answers(self, group: Group, responses: Sequence[Response]) -> "Generated":
        if any(response.finish == "abort" for response in responses):
            return Partial(group.id, group.incarnation, tuple(responses))
        return [of_response(group, response, self._tokenizer) for response in responses]

    async def _score(self, group: Group, answers: Sequence[Answer]) -> tuple[Sample, ...]:
        inputs = [
            RewardInput(
                prompt=group.prompt,
                response=answer.text.whole,
                plain_response=answer.text.plain,
                label=group.label,
                metadata=group.metadata,
                response_tokens=answer.tokens,
                status=answer.status,
                index=index,
                seed=group.seed,
                max_response_tokens=int(group.sampling["max_response_tokens"]),
                prompt_tokens=group.prompt_tokens.tolist(),
                returned=answer.metadata,
            )
            for index, answer in enumerate(answers)
        ]
        known = {
            index: Judgement(answer.reward, {}, {})
            for index, answer in enumerate(answers)
            if answer.reward is not None
        }
        unknown = [each for each in inputs if each.index not in known]
        specs = [NamedRewardSpec.model_validate(reward) for reward in group.rewards]
        judged = iter(await self._scorer.score(specs, unknown) if unknown else [])
        return tuple(
            _sample(each, answer, known.get(each.index) or next(judged))
            for each, answer in zip(inputs, answers, strict=True)
        )


def _sample(judged: RewardInput, answer: Answer, judgement: Judgement) -> Sample:
    return Sample(
        index=judged.index,
        trajectories=answer.trajectories,
        response=judged.response,
        reward=judgement.reward + answer.earned,
        rewards=judgement.rewards,
        status=judged.status,
        metadata={**answer.metadata, **judgement.metadata},
    )


def portions(leases: Sequence[Lease]) -> list[list[Lease]]:
    """Splits leases into requests within the bounds above, with at least one group each."""
    result: list[list[Lease]] = []
    samples = tokens = 0
    for lease in leases:
        group = lease.group
        samples += group.samples
        tokens += group.samples * int(group.sampling["max_response_tokens"])
        if not result or samples > _MOST_SAMPLES or tokens > _MOST_TOKENS:
            result.append([])
            samples = group.samples
            tokens = group.samples * int(group.sampling["max_response_tokens"])
        result[-1].append(lease)
    return result
