"""Plays the episodes of a group."""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from rljob.api import RLJobSpec
from rljob.buffer.records import Group
from rljob_rollout.answer import Answer
from rljob_rollout.episodes.gateway import Gateway
from rljob_rollout.episodes.hosts import HostLostError, Hosts
from rljob_rollout.episodes.limits import EpisodeLimits
from rljob_rollout.episodes.openai_format import MODEL
from rljob_rollout.episodes.recorder import ReturnedError
from rljob_rollout.episodes.session import Parsers, Session
from rljob_rollout.generation import EngineClient
from rljob_rollout.tokenizer import ResponseText, ResponseTokenizer
from rljob_rollout.worker_metrics import WorkerMetrics

log = structlog.get_logger()

# How often an episode may be lost with a process for an unknown reason, before it is played alone
# to find out.
_LOST = 2


class EpisodeError(Exception):
    """The generate function failed for a sample in all attempts."""


class Player:
    """Plays groups with the job's generate function, all samples at the same time."""

    def __init__(
        self,
        spec: RLJobSpec,
        hosts: Hosts,
        *,
        client: EngineClient,
        tokenizer: ResponseTokenizer,
        metrics: WorkerMetrics,
    ) -> None:
        """Starts the gateway.

        Args:
            spec: the job's.
            hosts: which have started, and end with the player.
            client, tokenizer, metrics: the worker's.
        """
        self._spec = spec
        self._client = client
        self._tokenizer = tokenizer
        self._metrics = metrics
        self._limits = EpisodeLimits.of(spec)
        self._parsers = Parsers(
            spec.rollout.sglang.get("tool_call_parser"),
            spec.rollout.sglang.get("reasoning_parser"),
        )
        self._hosts = hosts
        self._gateway = Gateway()
        self._serving = asyncio.create_task(self._gateway.run())

    async def close(self) -> None:
        """Ends all episodes."""
        await self._hosts.close()
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)

    async def play(self, group: Group) -> list[Answer]:
        """The answers of a group's samples.

        Raises:
            EpisodeError: the function failed for one of them in all attempts.
            InterruptedEpisodeError: the worker is leaving.
            EngineSilentError: the engine does not answer.
            UsageError: the user has to change something.
        """
        tasks = [asyncio.create_task(self._sample(group, index)) for index in range(group.samples)]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _sample(self, group: Group, index: int) -> Answer:
        attempts = self._spec.rollout.episodes.retries + 1
        failed = lost = 0
        while True:
            session = Session(
                group,
                index,
                client=self._client,
                tokenizer=self._tokenizer,
                limits=self._limits,
                parsers=self._parsers,
                template_arguments=self._spec.data.chat_template_kwargs,
            )
            try:
                answer = await self._played(session, alone=lost > _LOST)
            except HostLostError as error:
                if not error.is_culprit:
                    lost += error.is_culprit is None
                    continue
                reason = str(error)
            else:
                if session.failure is not None:
                    raise session.failure
                try:
                    if "failure" not in answer:
                        return self._answer(session, answer)
                    reason = answer["failure"]
                except ReturnedError as error:
                    reason = f"returned {error};"
            failed += 1
            where = group.metadata.get("source", f"group {group.id}")
            reason = f"rollout.generate: {self._spec.rollout.generate} {reason} for {where}"
            log.warning("episode.failed", reason=reason, attempt=failed, attempts=attempts)
            self._metrics.episode_failed()
            if failed >= attempts:
                raise EpisodeError(f"{reason} (attempts: {attempts})")

    async def _played(self, session: Session, *, alone: bool) -> dict[str, Any]:
        play = self._hosts.play_alone if alone else self._hosts.play
        with self._gateway.open(session) as key:
            return await play(self._order(session, key))

    def _order(self, session: Session, key: str) -> Mapping[str, Any]:
        group = session.group
        tokens = group.prompt_tokens.tolist()
        messages = group.messages or [{"role": "user", "content": group.prompt}]
        return {
            "url": self._gateway.url,
            "sample": {
                "prompt": group.prompt,
                "prompt_tokens": tokens,
                "messages": messages,
                "label": group.label,
                "metadata": group.metadata,
                "index": session.index,
                "seed": session.seed,
            },
            "context": {
                "base_url": f"{self._gateway.url}/v1",
                "api_key": key,
                "model": MODEL,
                "evaluation": group.kind == "evaluation",
                "max_turns": self._limits.turns,
                "context_tokens": self._limits.tokens,
                "seconds": self._limits.seconds,
                "group": group.id,
                "sampling": group.sampling,
                "tool_concurrency": self._spec.rollout.episodes.tool_concurrency,
            },
        }

    def _answer(self, session: Session, answer: Mapping[str, Any]) -> Answer:
        if answer.get("out_of_time"):
            session.out_of_time()
        result = answer["result"]
        text, response = session.text, result.get("response")
        if response is not None:
            text = ResponseText(response, response)
        trajectories, is_truncated = session.trajectories, session.is_truncated
        tokens = session.recorder.last_segment.tokens.tolist()
        if (found := answer.get("returned")) is not None:
            trajectories = session.recorder.returned(found["trajectories"])
            tokens = trajectories[-1].segment.tokens.tolist()
            if found["truncated"] is not None:
                is_truncated = found["truncated"] or session.truncated is not None
        self._metrics.episode_played(session.turns, session.history_changed)
        return Answer(
            trajectories=trajectories,
            text=text,
            tokens=tokens,
            status="truncated" if is_truncated else "completed",
            reward=result.get("reward"),
            earned=session.recorder.earned,
            metadata=result.get("metadata") or {},
        )
