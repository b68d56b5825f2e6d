"""HTTP for episodes: OpenAI's API for agents, and the calls of generate functions."""

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from rljob.errors import UsageError
from rljob.tokenizer import TemplateRefusedError
from rljob_rollout.episodes import sglang_format
from rljob_rollout.episodes.limits import LimitReachedError
from rljob_rollout.episodes.openai_format import (
    MODEL,
    chat_chunks,
    chat_completion,
    completion,
    completion_chunks,
    sampling_of,
)
from rljob_rollout.episodes.session import InterruptedEpisodeError, Session
from rljob_rollout.generation import EngineSilentError, RefusedError

Answer = Callable[[Session, Mapping[str, Any]], Coroutine[Any, Any, Response]]


class Gateway:
    """Serves all episodes of a worker on loopback; each has a key of its own."""

    def __init__(self) -> None:
        """Binds a free port; `run` begins to serve."""
        self._sessions: dict[str, Session] = {}
        self._calls: dict[str, set[asyncio.Task[Any]]] = {}
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @contextmanager
    def open(self, session: Session) -> Iterator[str]:
        """The key with which this episode's calls are made, valid as long as the context."""
        key = secrets.token_urlsafe(24)
        self._sessions[key] = session
        self._calls[key] = set()
        try:
            yield key
        finally:
            del self._sessions[key]
            # What the episode did not wait for, the engine need not finish.
            for call in self._calls.pop(key):
                call.cancel()

    async def run(self) -> None:
        """Serves until cancelled."""
        routes = [
            Route("/generate", self._route(_sglang_generate), methods=["POST"]),
            Route("/v1/models", self._models),
            Route("/v1/chat/completions", self._route(_chat_completions), methods=["POST"]),
            Route("/v1/completions", self._route(_completions), methods=["POST"]),
            Route("/episode/generate", self._route(_generate), methods=["POST"]),
            Route("/episode/chat", self._route(_chat), methods=["POST"]),
            Route("/episode/tokenize", self._route(_tokenize), methods=["POST"]),
            Route("/episode/reward", self._route(_reward), methods=["POST"]),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), log_level="warning", lifespan="off", access_log=False
        )
        server = _Server(config)
        try:
            await server.serve(sockets=[self._socket])
        finally:
            self._socket.close()

    async def _models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def _route(self, answer: Answer) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def handle(request: Request) -> Response:
            scheme, _, key = request.headers.get("authorization", "").partition(" ")
            session = self._sessions.get(key) if scheme.lower() == "bearer" else None
            if session is None:
                return _error(
                    HTTPStatus.UNAUTHORIZED,
                    "the key belongs to no episode that is being played; use the key of "
                    "context.api_key, while its generate function runs",
                )
            try:
                body = await request.json()
            except ValueError as error:
                return _error(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}")
            if not isinstance(body, dict):
                return _error(HTTPStatus.BAD_REQUEST, "the body is not a JSON object")
            call = asyncio.create_task(_answered(answer(session, body)))
            calls = self._calls[key]
            calls.add(call)
            call.add_done_callback(calls.discard)
            try:
                return await call
            except asyncio.CancelledError:
                return _error(HTTPStatus.GONE, "the episode has ended")

        return handle


class _Server(uvicorn.Server):
    def capture_signals(self) -> Any:
        """Signals are the worker's."""
        return nullcontext()


async def _answered(answer: Coroutine[Any, Any, Response]) -> Response:
    try:
        return await answer
    except LimitReachedError as error:
        return _error(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), limit=error.limit)
    except (RefusedError, TemplateRefusedError, UsageError, ValueError, KeyError) as error:
        return _error(HTTPStatus.BAD_REQUEST, str(error) or type(error).__name__)
    except (EngineSilentError, InterruptedEpisodeError) as error:
        return _error(HTTPStatus.SERVICE_UNAVAILABLE, str(error))


def _error(status: HTTPStatus, message: str, **more: Any) -> Response:
    """An error as OpenAI's API has it."""
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    # Clients repeat a request that the server failed to answer; these would fail again.
    headers = {"x-should-retry": "false"}
    body = {"error": {"message": message, "type": kind, "code": status.value, **more}}
    return JSONResponse(body, status, headers)


async def _generate(session: Session, body: Mapping[str, Any]) -> Response:
    turn = await session.generate(_tokens(body["tokens"]), body.get("sampling"))
    return JSONResponse(asdict(turn))


async def _sglang_generate(session: Session, body: Mapping[str, Any]) -> Response:
    text, tokens = body.get("text"), body.get("input_ids")
    if (text is None) == (tokens is None):
        raise ValueError("found both or none of text and input_ids; allowed: one of them")
    context = session.context_of(str(text)) if text is not None else _tokens(tokens)
    sampling = body.get("sampling_params") or {}
    turn = await session.generate(context, sglang_format.sampling_of(sampling))
    # Nothing else runs between the end of the call and here, so the last span is this turn's.
    versions = session.recorder.last_segment.versions
    version = versions[-1].version if versions else None
    return JSONResponse(sglang_format.answer(turn, version, session.tokenizer, sampling))


async def _chat(session: Session, body: Mapping[str, Any]) -> Response:
    message, turn = await session.chat(body["messages"], body.get("tools"), body.get("sampling"))
    return JSONResponse({"message": message, "turn": asdict(turn)})


async def _tokenize(session: Session, body: Mapping[str, Any]) -> Response:
    return JSONResponse({"tokens": session.tokenize(body["text"])})


async def _reward(session: Session, body: Mapping[str, Any]) -> Response:
    session.recorder.reward(float(body["value"]))
    return JSONResponse({})


async def _chat_completions(session: Session, body: Mapping[str, Any]) -> Response:
    sampling = sampling_of(body)
    message, turn = await session.chat(body["messages"], body.get("tools"), sampling)
    if body.get("stream"):
        return _stream(chat_chunks(message, turn, body))
    return JSONResponse(chat_completion(message, turn, body, session.tokenizer))


async def _completions(session: Session, body: Mapping[str, Any]) -> Response:
    prompt = body["prompt"]
    tokens = session.tokenize(prompt) if isinstance(prompt, str) else _tokens(prompt)
    turn = await session.generate(tokens, sampling_of(body))
    if body.get("stream"):
        return _stream(completion_chunks(turn, body))
    return JSONResponse(completion(turn, body, session.tokenizer))


def _stream(chunks: list[dict[str, Any]]) -> Response:
    async def lines() -> AsyncIterator[str]:
        for chunk in chunks:
            yield f"data: {json.dumps(chunk)}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


def _tokens(value: Any) -> list[int]:
    if not isinstance(value, list) or not all(type(each) is int and each >= 0 for each in value):
        raise ValueError(f"tokens: found {value!r:.100}; allowed: a list of token ids")
    if not value:
        raise ValueError("tokens: found none; allowed: at least one token id")
    return value
