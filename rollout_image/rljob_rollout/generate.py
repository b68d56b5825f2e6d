"""What a generate function gets: `async def generate(sample, engine, context)`."""

import asyncio
import inspect
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp

_PATHS = "/generate, /v1/chat/completions, /v1/completions"


class LimitReachedError(Exception):
    """The episode has reached a limit of the job; `limit` is turns or tokens.

    A function need not catch it: the sample is then truncated, and judged as it is.
    """

    def __init__(self, message: str, limit: str) -> None:
        super().__init__(message)
        self.limit = limit


class EngineError(Exception):
    """The engine refuses a call, or does not answer; with its reason."""


@dataclass(frozen=True)
class Turn:
    """What the engine said in one call.

    Args:
        tokens: as sampled, with the token that ended it.
        logprobs: one per token, at the sampling temperature.
        text: with special tokens, except the one that ended it.
        finish: "stop", or "length" at a limit of tokens.
        prompt_tokens: how many tokens it went on from.
    """

    tokens: list[int]
    logprobs: list[float]
    text: str
    finish: str
    prompt_tokens: int


@dataclass
class Sample:
    """The sample to play.

    Args:
        prompt: the text that the model sees, after the chat template.
        prompt_tokens: the same as tokens.
        messages: the prompt as messages; a text in the data is a user's message.
        label: the prompt's reference answer, a JSON value.
        metadata: the prompt's; `source` is the file and line.
        index: of the sample in its group.
        seed: this sample's, the same in every attempt and after a resume.
    """

    prompt: str
    prompt_tokens: list[int]
    messages: list[dict[str, Any]]
    label: Any
    metadata: dict[str, Any]
    index: int
    seed: int


class Engine:
    """The engine; it keeps every token of its calls, as it saw and made them."""

    def __init__(self, client: aiohttp.ClientSession, url: str, key: str) -> None:
        self.url = url
        self._client = client
        self._headers = {"Authorization": f"Bearer {key}"}

    async def generate(self, tokens: Sequence[int], **sampling: Any) -> Turn:
        """Goes on from tokens.

        If they begin with those of an earlier call and its turn, what comes after is taken for a
        tool's or the environment's: it is not learned. Otherwise they begin a new trajectory.

        Args:
            tokens: all tokens so far: the prompt, turns, what tools said.
            sampling: what differs from the job's: temperature, top_p, top_k, max_response_tokens,
                stop, stop_token_ids, ignore_eos.

        Raises:
            LimitReachedError: the episode has no turn or no token left.
            EngineError: the engine refuses the call.
        """
        found = await self._post("generate", {"tokens": list(tokens), "sampling": sampling})
        return Turn(**found)

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        **sampling: Any,
    ) -> dict[str, Any]:
        """The assistant's next message, in OpenAI's format; append it to go on.

        Args:
            messages: all so far, as the chat template takes them.
            tools: functions that the model may call, in OpenAI's format; the message then has
                `tool_calls` if it calls some. Needs `rollout.sglang.tool_call_parser`.
            sampling: as for `generate`.

        Raises:
            LimitReachedError, EngineError: as for `generate`.
        """
        body = {"messages": list(messages), "tools": tools, "sampling": sampling}
        message: dict[str, Any] = (await self._post("chat", body))["message"]
        return message

    async def tokenize(self, text: str) -> list[int]:
        """The tokens of a text, without any special tokens added."""
        tokens: list[int] = (await self._post("tokenize", {"text": text}))["tokens"]
        return tokens

    async def reward(self, value: float) -> None:
        """Adds to what the sample earns, at the last token of the turn just made."""
        await self._post("reward", {"value": value})

    async def _post(self, call: str, body: Mapping[str, Any]) -> Any:
        return await self.ask(f"/episode/{call}", body)

    async def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer to a call of the episode's gateway by its path; raises as `generate`."""
        url = f"{self.url}{path}"
        try:
            async with self._client.post(url, json=body, headers=self._headers) as reply:
                if reply.status == HTTPStatus.NOT_FOUND:
                    raise EngineError(f"{path}: there is no such call; allowed: {_PATHS}")
                answer = await reply.json()
        except aiohttp.ClientError as error:
            raise EngineError(f"{type(error).__name__}: {error}") from error
        if reply.status == HTTPStatus.OK:
            return answer
        refusal = answer["error"]
        if "limit" in refusal:
            raise LimitReachedError(refusal["message"], refusal["limit"])
        raise EngineError(refusal["message"])


@dataclass
class Context:
    """The episode's surroundings.

    Args:
        base_url: OpenAI's API for this episode, for agents: its calls are kept like the engine's.
        api_key: the key for it, which ends with the episode.
        model: the model's name there.
        evaluation: whether this is an evaluation, not training.
        max_turns: calls of the engine that the episode may make; None: any number.
        context_tokens: tokens that a context may have.
        deadline: seconds of time.monotonic at which the episode is cancelled.
        random: seeded for this sample.
        group: number of the sample's group.
        sampling: the group's, by the names of `engine.generate`.
    """

    base_url: str
    api_key: str
    model: str
    evaluation: bool
    max_turns: int | None
    context_tokens: int
    deadline: float
    random: random.Random
    tool_concurrency: int
    group: int = 0
    sampling: dict[str, Any] = field(default_factory=dict)
    _slots: dict[str, asyncio.Semaphore] = field(default_factory=dict)

    @property
    def seconds_left(self) -> float:
        """Until the episode is cancelled."""
        return max(0.0, self.deadline - time.monotonic())

    async def tool(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Calls a tool: an async function, or a plain one, which then runs in a thread.

        All episodes of this process together run at most `rollout.episodes.toolConcurrency` calls
        of a tool at the same time.
        """
        name = getattr(function, "__qualname__", type(function).__name__)
        slot = self._slots.setdefault(name, asyncio.Semaphore(self.tool_concurrency))
        async with slot:
            if inspect.iscoroutinefunction(function):
                return await function(*args, **kwargs)
            return await asyncio.to_thread(function, *args, **kwargs)
