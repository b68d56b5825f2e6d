"""Responses from an engine."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx
import numpy as np

from rljob.buffer.records import Group, LogProbs, Tokens, VersionSpan

# Idle connections are closed before the server closes them (after 5 s), so that no request is
# sent into a connection that is being closed.
_KEEP_ALIVE_SECONDS = 2.0
_CONNECT_SECONDS = 10.0
_ATTEMPTS = 3
_BACK_OFF_SECONDS = 0.5


class RefusedError(Exception):
    """The engine refuses a request, as it will when asked again; with its reason."""


class EngineSilentError(Exception):
    """The engine did not answer, several times in a row."""


@dataclass(frozen=True, eq=False)
class Response:
    """What an engine sampled for one prompt.

    Args:
        tokens: int32 "response", as sampled; an end-of-sequence token is the last of them.
        logprobs: float32 "response", at the sampling temperature, before top-p and top-k.
        versions: the weight version of each token, in spans without gaps.
        finish: "stop" or "length".
    """

    tokens: Tokens
    logprobs: LogProbs
    versions: tuple[VersionSpan, ...]
    finish: Literal["stop", "length"]


class EngineClient:
    """Generation at one engine."""

    def __init__(self, url: str, api_key: str, end_tokens: Sequence[int], *, seeded: bool) -> None:
        """No request is sent yet.

        Args:
            url: of the engine.
            api_key: of the engine.
            end_tokens: end-of-sequence tokens of the tokenizer; the engine knows the model's.
            seeded: whether the engine samples by seeds.
        """
        self._end_tokens = end_tokens
        self._seeded = seeded
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"},
            # Long generations take long; the engine's process is watched meanwhile.
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_SECONDS),
            trust_env=False,
        )

    async def generate(self, groups: Sequence[Group]) -> list[list[Response]]:
        """All samples of the groups, in one request: far cheaper than one request a sample.

        Samples that an update of the weights has aborted are generated again.

        Raises:
            RefusedError: the engine refuses it; which group is to blame is not told.
            EngineSilentError: the engine does not answer.
        """
        wanted = [(group, index) for group in groups for index in range(group.samples)]
        found: dict[int, Response] = {}
        while missing := [place for place in range(len(wanted)) if place not in found]:
            reply = await self._request([wanted[place] for place in missing])
            for place, item in zip(missing, reply, strict=True):
                response = parse_response(item)
                if response is not None:
                    found[place] = response
        responses = (found[place] for place in range(len(wanted)))
        return [[next(responses) for _ in range(group.samples)] for group in groups]

    async def close(self) -> None:
        """Closes the connections; the engine aborts what it still generates for them."""
        await self._client.aclose()

    async def _request(self, wanted: Sequence[tuple[Group, int]]) -> list[dict[str, Any]]:
        body = {
            "input_ids": [group.prompt_tokens.tolist() for group, _ in wanted],
            "sampling_params": [self._sampling(group, index) for group, index in wanted],
            "return_logprob": True,
        }
        reason = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_BACK_OFF_SECONDS * 2**attempt)
            try:
                reply = await self._client.post("/generate", json=body)
            except httpx.TransportError as error:
                reason = f"{type(error).__name__}: {error}"
                continue
            if reply.status_code == httpx.codes.OK:
                items: list[dict[str, Any]] = reply.json()
                return items
            reason = f"{reply.status_code}: {_message(reply)}"
            if reply.is_client_error:
                raise RefusedError(reason)
        raise EngineSilentError(f"POST /generate: {_ATTEMPTS} attempts failed; the last: {reason}")

    def _sampling(self, group: Group, index: int) -> dict[str, Any]:
        """SamplingSpec's fields as SGLang names them."""
        sampling = group.sampling
        values = {
            "temperature": sampling["temperature"],
            "top_p": sampling["top_p"],
            "top_k": sampling["top_k"],
            "max_new_tokens": sampling["max_response_tokens"],
            "ignore_eos": sampling["ignore_eos"],
            # The text that ends a response is a part of it, as its tokens are.
            "no_stop_trim": True,
        }
        stop_tokens = [*sampling["stop_token_ids"], *self._end_tokens]
        if stop_tokens:
            values["stop_token_ids"] = stop_tokens
        if sampling["stop"]:
            values["stop"] = sampling["stop"]
        if self._seeded:
            values["sampling_seed"] = group.seed + index
        return values


def parse_response(item: dict[str, Any]) -> Response | None:
    """A sample of the engine's reply; None where an update of the weights aborted it.

    Raises:
        RefusedError: the engine gave it up for another reason.
        ValueError: a token has no log-probability or no version.
    """
    meta = item["meta_info"]
    finish = meta["finish_reason"]
    if finish["type"] == "abort":
        if finish.get("status_code") is not None:
            raise RefusedError(f"{finish['status_code']}: {finish['message']}")
        return None
    tokens = np.array(item["output_ids"], np.int32)
    logprobs = np.array([entry[0] for entry in meta["output_token_logprobs"]], np.float32)
    versions = tuple(
        VersionSpan(int(span["version"]), span["start"], span["end"])
        for span in meta["weight_versions"]
    )
    ends = [0, *(span.end for span in versions)]
    if [*(span.start for span in versions), len(tokens)] != ends or len(logprobs) != len(tokens):
        raise ValueError(
            f"the engine returned {len(tokens)} tokens with {len(logprobs)} log-probabilities "
            f"and weight versions {meta['weight_versions']}"
        )
    return Response(tokens, logprobs, versions, finish["type"])


def _message(reply: httpx.Response) -> str:
    try:
        return str(reply.json()["error"]["message"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return reply.text[:500]
