"""Requests and answers in the format of OpenAI's API."""

import time
import uuid
from collections.abc import Mapping
from typing import Any

from rljob.tokenizer import Tokenizer
from rljob_rollout.episodes.session import Turn

MODEL = "policy"

# Fields of a request and the job's names of them.
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_response_tokens",
    "max_completion_tokens": "max_response_tokens",
    "stop": "stop",
}
# What would change the answer, and can't be had: told instead of left out.
_REFUSED = ("logit_bias", "frequency_penalty", "presence_penalty", "response_format", "functions")
_HARMLESS: tuple[Any, ...] = (None, 0, {}, {"type": "text"})


def sampling_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of SamplingSpec that a request sets.

    Raises:
        ValueError: it asks for something that can't be had.
    """
    for name in _REFUSED:
        if body.get(name) not in _HARMLESS:
            raise ValueError(f"{name}: found {body[name]!r:.100}; allowed: to leave it out")
    if body.get("n") not in (None, 1):
        raise ValueError(f"n: found {body['n']!r}; allowed: 1; samples are the job's")
    choice = body.get("tool_choice")
    if choice not in (None, "auto"):
        raise ValueError(f"tool_choice: found {choice!r:.100}; allowed: auto")
    found = {
        ours: body[theirs] for theirs, ours in _SAMPLING.items() if body.get(theirs) is not None
    }
    if isinstance(found.get("stop"), str):
        found["stop"] = [found["stop"]]
    return found


def chat_completion(
    message: Mapping[str, Any],
    turn: Turn,
    body: Mapping[str, Any],
    tokenizer: Tokenizer,
) -> dict[str, Any]:
    """An answer of /v1/chat/completions."""
    choice = {"index": 0, "message": message, "finish_reason": _finish(message, turn)}
    if body.get("logprobs"):
        choice["logprobs"] = {"content": _logprobs(turn, tokenizer)}
    return _answer("chat.completion", choice, turn)


def chat_chunks(
    message: Mapping[str, Any], turn: Turn, body: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The same as a stream: the turn is whole before its first chunk, as its parsers need it."""
    calls = [{"index": n, **call} for n, call in enumerate(message.get("tool_calls") or [])]
    delta = {**message, "tool_calls": calls} if calls else dict(message)
    chunks = [
        {"index": 0, "delta": delta, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": _finish(message, turn)},
    ]
    return _chunks("chat.completion.chunk", chunks, turn, body)


def completion(turn: Turn, body: Mapping[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
    """An answer of /v1/completions."""
    choice: dict[str, Any] = {"index": 0, "text": turn.text, "finish_reason": turn.finish}
    if body.get("logprobs"):
        choice["logprobs"] = {
            "tokens": [tokenizer.decode([token]) for token in turn.tokens],
            "token_logprobs": turn.logprobs,
            "top_logprobs": None,
            "text_offset": [],
        }
    return _answer("text_completion", choice, turn)


def completion_chunks(turn: Turn, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same as a stream."""
    chunks = [{"index": 0, "text": turn.text, "finish_reason": turn.finish}]
    return _chunks("text_completion", chunks, turn, body)


def _answer(kind: str, choice: dict[str, Any], turn: Turn) -> dict[str, Any]:
    return {**_head(kind), "choices": [choice], "usage": _usage(turn)}


def _chunks(
    kind: str, choices: list[dict[str, Any]], turn: Turn, body: Mapping[str, Any]
) -> list[dict[str, Any]]:
    head = _head(kind)
    chunks = [{**head, "choices": [choice]} for choice in choices]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**head, "choices": [], "usage": _usage(turn)})
    return chunks


def _head(kind: str) -> dict[str, Any]:
    return {
        "id": f"turn-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": MODEL,
    }


def _finish(message: Mapping[str, Any], turn: Turn) -> str:
    return "tool_calls" if message.get("tool_calls") else turn.finish


def _usage(turn: Turn) -> dict[str, int]:
    made = len(turn.tokens)
    return {
        "prompt_tokens": turn.prompt_tokens,
        "completion_tokens": made,
        "total_tokens": turn.prompt_tokens + made,
    }


def _logprobs(turn: Turn, tokenizer: Tokenizer) -> list[dict[str, Any]]:
    return [
        {
            "token": (text := tokenizer.decode([token])),
            "logprob": logprob,
            "bytes": list(text.encode()),
            "top_logprobs": [],
        }
        for token, logprob in zip(turn.tokens, turn.logprobs, strict=True)
    ]
