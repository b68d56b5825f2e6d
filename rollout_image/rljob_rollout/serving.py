"""Turns a leased group into a completion: responses, rewards, result."""

import time
from collections.abc import Sequence

import structlog

from rljob.api.rollout import RewardSpec
from rljob.buffer.client import WorkerBuffer
from rljob.buffer.records import (
    Completion,
    Group,
    Lease,
    Partial,
    Response,
    Sample,
    Status,
    Trajectory,
)
from rljob.errors import UsageError
from rljob_rollout.generation import EngineClient, RefusedError
from rljob_rollout.hand import Hand
from rljob_rollout.rewards import RewardInput
from rljob_rollout.scoring import Scorer, ScoringError
from rljob_rollout.tokenizer import ResponseTokenizer
from rljob_rollout.worker_metrics import WorkerMetrics

log = structlog.get_logger()

# Bounds of one request. More samples at once are cheaper with small models. But a request is only
# answered when its slowest sample is done, so groups with long responses get one request each.
_MOST_SAMPLES = 256
_MOST_TOKENS = 8192


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
    ) -> None:
        self._worker = worker
        self._buffer = buffer
        self._hand = hand
        self._client = client
        self._tokenizer = tokenizer
        self._scorer = scorer
        self._metrics = metrics

    async def generate(self, leases: Sequence[Lease]) -> list[list[Response] | RefusedError]:
        """The responses for each group, or in their place the refusal of that group.

        Raises:
            EngineSilentError: the engine does not answer.
        """
        try:
            return list(await self._client.generate(leases))
        except RefusedError as error:
            if len(leases) == 1:
                return [error]
        return [(await self.generate([lease]))[0] for lease in leases]

    async def finish(
        self, lease: Lease, responses: list[Response] | RefusedError, leased: float
    ) -> None:
        """Scores the responses of a group and completes it; gives it back if it was interrupted.

        Args:
            lease: the group; if it has been lost meanwhile, nothing is done.
            responses: one per sample, or why there are none.
            leased: unix seconds at which the group was leased.
        """
        if lease not in self._hand:
            return
        group = lease.group
        if not isinstance(responses, RefusedError) and any(r.finish == "abort" for r in responses):
            partial = Partial(group.id, group.incarnation, tuple(responses))
            await self._buffer.release(lease, partial)
            self._hand.drop(lease)
            log.info("group.given_back", group=group.id, tokens=partial.tokens)
            return
        samples: tuple[Sample, ...] = ()
        failure, usage = None, False
        try:
            samples = await self._score(group, _given(group, responses))
        except (UsageError, ScoringError) as error:
            failure, usage = str(error), isinstance(error, UsageError)
        await self._complete(lease, samples, failure, usage, leased)

    async def interrupt(self) -> None:
        """Ends all generation; unfinished groups are given back with their partial responses."""
        await self._client.interrupt()

    async def give_up(self, lease: Lease, leased: float) -> None:
        """Completes a group as failed, because it was lost or not generated too many times."""
        count = lease.attempt - 1
        attempts = "1 attempt" if count == 1 else f"{count} attempts"
        reason = f"gave up after {attempts}: the worker was lost or its engine did not answer"
        await self._complete(lease, (), reason, False, leased)

    async def _complete(
        self,
        lease: Lease,
        samples: tuple[Sample, ...],
        failure: str | None,
        usage: bool,
        leased: float,
    ) -> None:
        group = lease.group
        if failure is not None:
            log.warning("group.failed", group=group.id, reason=failure)
        completion = Completion(
            group=group.id,
            incarnation=group.incarnation,
            worker=self._worker,
            samples=samples,
            failure=failure,
            failure_is_usage=usage,
            leased=leased,
            finished=time.time(),
        )
        first = await self._buffer.complete(lease, completion)
        self._hand.drop(lease)
        if first:
            self._metrics.completed(samples, failed=failure is not None)
            self._metrics.held(completion.finished - leased)

    async def _score(self, group: Group, responses: Sequence[Response]) -> tuple[Sample, ...]:
        texts = [self._tokenizer.decode(response) for response in responses]
        inputs = [
            RewardInput(
                prompt=group.prompt,
                response=text.whole,
                plain_response=text.plain,
                label=group.label,
                metadata=group.metadata,
                response_tokens=response.segment.tokens.tolist(),
                status=_status(group, response),
                index=index,
                seed=group.seed,
            )
            for index, (text, response) in enumerate(zip(texts, responses, strict=True))
        ]
        scores = await self._scorer.score(RewardSpec.model_validate(group.reward), inputs)
        return tuple(
            Sample(
                index=judged.index,
                response=judged.response,
                trajectories=(Trajectory(None, response.segment),),
                reward=score.reward,
                rewards={},
                status=judged.status,
                metadata=score.metadata,
            )
            for judged, response, score in zip(inputs, responses, scores, strict=True)
        )


def _given(group: Group, responses: list[Response] | RefusedError) -> list[Response]:
    if isinstance(responses, RefusedError):
        where = group.metadata.get("source", f"group {group.id}")
        raise UsageError(f"{where}: the engine refuses the prompt: {responses}")
    return responses


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


def _status(group: Group, response: Response) -> Status:
    # If the job ignores the end of sequence, a response of the full length is complete.
    if response.finish == "length" and not group.sampling["ignore_eos"]:
        return "truncated"
    return "completed"
