"""A server that judges, over HTTP: what it is asked, and what happens while it does not answer."""

import asyncio
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import aiohttp
import structlog

from rljob.api.reward import NamedRewardSpec, RewardSpec
from rljob.errors import UsageError
from rljob_rollout.judging import language_model, remote
from rljob_rollout.judging.verdict import Failure, Verdict, short
from rljob_rollout.rewards import RewardInput

log = structlog.get_logger()

_CONNECTIONS = 64
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0
_TOO_MANY_REQUESTS = 429
# Answers that no other sample would change.
_USAGE = {401: "the API key is refused", 403: "access is refused", 404: "there is no such address"}


@dataclass(frozen=True)
class Outage:
    """A time in which a server does not answer.

    Args:
        reason: what happened to the last request.
        since: time.monotonic of the first.
        pause: seconds until the next attempt.
        next_attempt: time.monotonic of it.
    """

    reason: str
    since: float
    pause: float
    next_attempt: float


class Form(Protocol):
    """How a kind of server is asked."""

    def requests(self, spec: RewardSpec, samples: Sequence[RewardInput]) -> list[Any]:
        """The JSON bodies of the requests for these samples."""
        ...

    def verdicts(self, spec: RewardSpec, answer: Any, count: int) -> list[Verdict] | Failure:
        """What the answer to one of them says about its samples.

        Args:
            spec: of the reward.
            answer: JSON.
            count: of the samples that the request was for.
        """
        ...


class ServedReward:
    """Asks one server. While it does not answer, samples wait, and one of them tries it."""

    def __init__(self, address: str, form: Form, key: str | None) -> None:
        """
        Args:
            address: what requests are sent to.
            form: how it is asked.
            key: for the header Authorization.
        """
        self._address = address
        self._form = form
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._session: aiohttp.ClientSession | None = None
        self._outage: Outage | None = None
        self._answered = 0.0  # time.monotonic
        self._trying = asyncio.Lock()

    @property
    def outage(self) -> str | None:
        """What is wrong with the server at the moment."""
        if self._outage is None:
            return None
        seconds = time.monotonic() - self._outage.since
        return f"{self._address}: no answer for {seconds:.0f} s ({self._outage.reason})"

    async def judge(self, spec: NamedRewardSpec, samples: Sequence[RewardInput]) -> list[Verdict]:
        """The verdicts on samples; they wait as long as the server does not answer."""
        bodies = self._form.requests(spec, samples)
        each = len(samples) // len(bodies)
        found = await asyncio.gather(*(self._verdicts(spec, body, each) for body in bodies))
        return [verdict for of_request in found for verdict in of_request]

    async def close(self) -> None:
        """Closes connections."""
        if self._session is not None:
            await self._session.close()

    async def _verdicts(self, spec: RewardSpec, body: Any, count: int) -> list[Verdict]:
        answer = await self._answer(spec, body)
        if not isinstance(answer, Failure):
            answer = self._form.verdicts(spec, answer, count)
        return [answer] * count if isinstance(answer, Failure) else answer

    async def _answer(self, spec: RewardSpec, body: Any) -> Any | Failure:
        """The JSON answer to a request, however long it takes until the server is back."""
        began = time.monotonic()
        while True:
            found = await self._attempt(spec, body)
            if not isinstance(found, Outage):
                return found
            if found.next_attempt - began > spec.outage_seconds:
                return Failure(
                    f"{self._address} has not answered for {spec.outage_seconds:g} s "
                    f"(outageSeconds): {found.reason}"
                )
            await asyncio.sleep(max(0.0, found.next_attempt - time.monotonic()))

    async def _attempt(self, spec: RewardSpec, body: Any) -> Any | Failure | Outage:
        if self._outage is None:
            return await self._request(spec, body)
        async with self._trying:
            outage = self._outage
            if outage is not None and time.monotonic() < outage.next_attempt:
                return outage  # another sample has just tried
            return await self._request(spec, body)

    async def _request(self, spec: RewardSpec, body: Any) -> Any | Failure | Outage:
        began = time.monotonic()
        try:
            async with self._client().post(
                self._address,
                json=body,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=spec.timeout_seconds),
            ) as response:
                status, text = response.status, await response.text(errors="replace")
        except TimeoutError:
            reason = f"took more than {spec.timeout_seconds:g} s (timeoutSeconds)"
            # If it has answered others meanwhile, it is this sample that takes long.
            return Failure(reason) if self._answered > began else self._down(reason)
        except aiohttp.ClientError as error:
            return self._down(str(error) or type(error).__name__)
        if status >= 500 or status == _TOO_MANY_REQUESTS:
            return self._down(f"status {status}: {short(text)}")
        self._up()
        return self._read(spec, status, text)

    def _read(self, spec: RewardSpec, status: int, text: str) -> Any | Failure:
        said = f"{self._address} answered with status {status}: {short(text)}"
        if status in _USAGE:
            return Failure(f"reward {spec.type}: {said}; {_USAGE[status]}", is_usage=True)
        if status != 200:
            return Failure(said)
        try:
            return json.loads(text)
        except ValueError:
            return Failure(f"{self._address} answered {short(text)}; allowed: JSON")

    def _down(self, reason: str) -> Outage:
        now, before = time.monotonic(), self._outage
        if before is None:
            log.warning("reward.server_unavailable", address=self._address, reason=reason)
            before = Outage(reason, now, _FIRST_PAUSE_SECONDS / 2, now)
        # Requests that began before the outage fail one by one, and must not lengthen the pause.
        if now >= before.next_attempt:
            pause = min(2 * before.pause, _LONGEST_PAUSE_SECONDS)
            before = replace(before, pause=pause, next_attempt=now + pause)
        self._outage = replace(before, reason=reason)
        return self._outage

    def _up(self) -> None:
        self._answered = time.monotonic()
        if self._outage is not None:
            seconds = round(self._answered - self._outage.since, 1)
            log.info("reward.server_back", address=self._address, seconds=seconds)
            self._outage = None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session


def served(spec: RewardSpec, place: str) -> ServedReward:
    """The server of a reward.

    Args:
        spec: of type remote or judge.
        place: where the job names it, for errors.

    Raises:
        UsageError: the variable that should hold its key is not set.
    """
    address, form = str(spec.url), cast(Form, remote.FORM)
    if spec.type == "judge":
        address, form = f"{address.rstrip('/')}/chat/completions", language_model.FORM
    variable = spec.api_key_variable
    if variable is not None and not os.environ.get(variable):
        raise UsageError(
            f"{place}.apiKeyVariable: found {variable!r}, but the rollout's environment has "
            "no such variable, or it is empty; allowed: one that spec.rollout.template sets, or "
            "that `rljob run` is started with"
        )
    return ServedReward(address, form, None if variable is None else os.environ[variable])
