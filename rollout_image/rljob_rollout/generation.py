"""Generates responses with an engine."""

import asyncio
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import aiohttp
import numpy as np

from rljob.buffer.records import EMPTY, Lease, Response, Segment, VersionSpan

# Idle connections are closed before the server closes them (after 5 s), so that no request is sent
# on a connection that is being closed.
_KEEP_ALIVE_SECONDS = 2.0
_CONNECT_SECONDS = 10.0
_ATTEMPTS = 3
_BACK_OFF_SECONDS = 0.5
# The least default deadline of a request: allows for queued requests and a very slow engine.
_LEAST_TIMEOUT_SECONDS = 600.0
_SECONDS_PER_TOKEN = 0.5
_NOTHING = Response(EMPTY, "abort")


class RefusedError(Exception):
    """The engine refuses a request, and would refuse it again; with its reason."""


class EngineSilentError(Exception):
    """The engine failed to answer, several times in a row or in time."""


class EngineClient:
    """A client that generates with one engine."""

    def __init__(
        self,
        url: str,
        api_key: str,
        admin_key: str | None,
        end_tokens: Sequence[int],
        *,
        seeded: bool,
        keeps_partial: bool,
        timeout_seconds: float | None = None,
    ) -> None:
        """Sends no request yet; needs a running event loop.

        Args:
            url: the engine's.
            api_key: the engine's.
            admin_key: the engine's, which `interrupt` needs; None: it has none.
            end_tokens: end-of-sequence tokens of the tokenizer and the model.
            seeded: whether the engine samples with seeds.
            keeps_partial: an interrupted response is continued; otherwise it is generated again.
            timeout_seconds: of one request; None: depends on the longest response it asks for.
        """
        self._admin_key = admin_key or api_key
        self._end_tokens = end_tokens
        self._seeded = seeded
        self._keeps_partial = keeps_partial
        self._timeout_seconds = timeout_seconds
        self._interrupted = False
        self._url = url
        # Not httpx, whose pool looks at every connection for each request: episodes have hundreds.
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS),
            headers={"Authorization": f"Bearer {api_key}"},
            # Each request has its own deadline.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        )

    async def generate(self, leases: Sequence[Lease]) -> list[list[Response]]:
        """All samples of the groups, in one request: far cheaper than one request per sample.

        Partial samples of a group are continued. Samples that a weight update has aborted are
        continued, too, or generated again. After `interrupt` they are returned as they are.

        Raises:
            RefusedError: the engine refuses the request; it does not say for which group.
            EngineSilentError: the engine does not answer, or not in time.
        """
        wanted = [
            Wanted(
                lease.group.prompt_tokens.tolist(),
                lease.group.sampling,
                sample_seed(lease.group.seed, index),
                lease.partial.responses[index] if lease.partial else None,
            )
            for lease in leases
            for index in range(lease.group.samples)
        ]
        responses = iter(await self.complete(wanted))
        return [[next(responses) for _ in range(lease.group.samples)] for lease in leases]

    async def complete(self, wanted: Sequence["Wanted"]) -> list[Response]:
        """The responses that are wanted, in one request; raises as `generate`."""
        while missing := [each for each in wanted if not each.is_done]:
            if self._interrupted:
                break
            reply = await self._request(missing)
            for each, item in zip(missing, reply, strict=True):
                response = parse_response(item)
                # The engine would miss a stop text if it only saw the second half of it.
                kept = self._keeps_partial and not each.sampling["stop"]
                if response.finish != "abort" or kept:
                    each.add(response, self._end_tokens)
        return [each.found or _NOTHING for each in wanted]

    async def call(self, path: str, body: dict[str, Any]) -> Any:
        """The engine's JSON answer to another request; raises as `generate`."""
        return json.loads(await self._post(path, body))

    async def interrupt(self) -> None:
        """Aborts what is being generated; `generate` returns the partial responses.

        Raises:
            RefusedError: the engine refuses it.
            EngineSilentError: the engine does not answer.
        """
        self._interrupted = True
        headers = {"Authorization": f"Bearer {self._admin_key}"}
        await self._post("/abort_request", {"abort_all": True}, headers)

    async def close(self) -> None:
        """Closes the connections; the engine aborts whatever it still generates for them."""
        await self._client.close()

    async def _request(self, wanted: Sequence["Wanted"]) -> list[dict[str, Any]]:
        body = {
            "input_ids": [each.input_ids for each in wanted],
            "sampling_params": [self._sampling(each) for each in wanted],
            "return_logprob": True,
        }
        longest = max(each.sampling["max_response_tokens"] for each in wanted)
        limit = self._timeout_seconds or timeout_by_length(longest)
        try:
            # The engine aborts a request that is cancelled.
            async with asyncio.timeout(limit):
                reply = await self._post("/generate", body)
        except TimeoutError:
            raise EngineSilentError(
                f"POST /generate: no answer in {limit:.0f} s (rollout.generationTimeoutSeconds)"
            ) from None
        items: list[dict[str, Any]] = json.loads(reply)
        return items

    async def _post(
        self, path: str, body: dict[str, Any], headers: Mapping[str, str] | None = None
    ) -> bytes:
        reason = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_BACK_OFF_SECONDS * 2**attempt)
            try:
                async with self._client.post(
                    self._url + path, json=body, headers=headers
                ) as answer:
                    status, content = answer.status, await answer.read()
            except aiohttp.ClientError as error:
                reason = f"{type(error).__name__}: {error}"
                continue
            if status == HTTPStatus.OK:
                return content
            reason = f"{status}: {_message(content)}"
            if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise RefusedError(reason)
        raise EngineSilentError(f"POST {path}: {_ATTEMPTS} attempts failed; the last: {reason}")

    def _sampling(self, wanted: "Wanted") -> dict[str, Any]:
        """The fields of SamplingSpec under SGLang's names."""
        sampling = wanted.sampling
        values = {
            "temperature": sampling["temperature"],
            "top_p": sampling["top_p"],
            "top_k": sampling["top_k"],
            "max_new_tokens": sampling["max_response_tokens"] - wanted.length,
            "ignore_eos": sampling["ignore_eos"],
            # The stop text is part of the response, just as its tokens are.
            "no_stop_trim": True,
        }
        stop_tokens = [*sampling["stop_token_ids"], *self._end_tokens]
        if stop_tokens:
            values["stop_token_ids"] = stop_tokens
        if sampling["stop"]:
            values["stop"] = sampling["stop"]
        if self._seeded:
            values["sampling_seed"] = wanted.seed
        return values


def timeout_by_length(max_response_tokens: int) -> float:
    """Seconds for a request whose longest response may have this many tokens."""
    return _LEAST_TIMEOUT_SECONDS + _SECONDS_PER_TOKEN * max_response_tokens


def sample_seed(group_seed: int, index: int) -> int:
    """The seed of one sample, from 0 to 2**31 - 1.

    Hashed, because neighbouring groups have neighbouring seeds, so sums of seed and index repeat.
    """
    digest = hashlib.blake2b(f"{group_seed} {index}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


class Wanted:
    """A response to generate, and what has been generated of it."""

    def __init__(
        self,
        prompt: list[int],
        sampling: Mapping[str, Any],
        seed: int,
        found: Response | None = None,
    ) -> None:
        """Takes the tokens to continue, fields of SamplingSpec, and a seed from 0 to 2**31 - 1."""
        self.prompt = prompt
        self.sampling = sampling
        self.seed = seed
        self.found = found

    @property
    def is_done(self) -> bool:
        return self.found is not None and self.found.finish != "abort"

    @property
    def length(self) -> int:
        """Tokens generated so far."""
        return 0 if self.found is None else len(self.found)

    @property
    def input_ids(self) -> list[int]:
        """The tokens from which the engine continues."""
        if self.found is None:
            return self.prompt
        found: list[int] = self.found.segment.tokens.tolist()
        return self.prompt + found

    def add(self, response: Response, end_tokens: Collection[int]) -> None:
        """Adds what was generated.

        SGLang 0.5.23 checks for an interruption before it checks for the end. A response that was
        interrupted at its last token has nevertheless ended and must not be continued.
        """
        whole = response if self.found is None else self.found.continued(response)
        if whole.finish == "abort" and len(whole):
            sampling = self.sampling
            ends = {*sampling["stop_token_ids"], *end_tokens}
            if int(whole.segment.tokens[-1]) in ends and not sampling["ignore_eos"]:
                whole = replace(whole, finish="stop")
            elif len(whole) >= sampling["max_response_tokens"]:
                whole = replace(whole, finish="length")
        self.found = whole


def parse_response(item: dict[str, Any]) -> Response:
    """Parses a sample of the engine's reply, complete or interrupted.

    Raises:
        RefusedError: the engine aborted it for another reason.
        ValueError: a token has no log-probability or no version.
    """
    meta = item["meta_info"]
    finish = meta["finish_reason"]
    if finish["type"] == "abort" and finish.get("status_code") is not None:
        raise RefusedError(f"{finish['status_code']}: {finish['message']}")
    tokens = np.array(item["output_ids"], np.int32)
    # A sample that was aborted before its first token has neither.
    logprobs = np.array([e[0] for e in meta.get("output_token_logprobs") or []], np.float32)
    spans = meta.get("weight_versions") or []
    versions = tuple(VersionSpan(int(s["version"]), s["start"], s["end"]) for s in spans)
    ends = [0, *(span.end for span in versions)]
    if [*(span.start for span in versions), len(tokens)] != ends or len(logprobs) != len(tokens):
        if finish["type"] == "abort":  # the engine has already dropped part of it
            return _NOTHING
        raise ValueError(
            f"the engine returned {len(tokens)} tokens with {len(logprobs)} log-probabilities "
            f"and weight versions {spans}"
        )
    return Response(Segment.generated(tokens, logprobs, versions), finish["type"])


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")[:500]
