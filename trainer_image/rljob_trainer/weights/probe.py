"""A fixed sequence that engines score after an update, to check that they hold the right weights.

Samples can't show this for sure. Those that are older than the published weights rightly differ,
and a run that is always asynchronous may never have fresh ones.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import structlog
import torch
from jaxtyping import Int64
from torch import Tensor

from rljob.api import RLJobSpec
from rljob.buffer.records import Engine

log = structlog.get_logger()

_LONGEST = 64  # tokens
_TIMEOUT_SECONDS = 60.0  # the request queues behind what the engine is generating
_SEED = 20240229


def probe_tokens(spec: RLJobSpec, vocabulary: int) -> Int64[Tensor, " length"]:
    """The sequence: random tokens, always the same, no longer than engines have room for."""
    room = spec.data.max_prompt_tokens + spec.rollout.sampling.max_response_tokens
    length = max(2, min(_LONGEST, room))
    generator = torch.Generator().manual_seed(_SEED)
    return torch.randint(vocabulary, (length,), generator=generator)


@dataclass(frozen=True)
class ProbeAnswer:
    """The answer of one engine.

    Args:
        engine: its id.
        version: the version of its weights.
        log_probs: natural logarithms at temperature 1, of every token but the first.
    """

    engine: str
    version: int
    log_probs: tuple[float, ...]


class Probe:
    """Asks engines for the log-probabilities of the sequence."""

    def __init__(self, tokens: Int64[Tensor, " length"], api_key: str) -> None:
        self._tokens: list[int] = tokens.tolist()
        self._headers = {"Authorization": f"Bearer {api_key}"}

    async def ask(self, engines: Sequence[Engine]) -> list[ProbeAnswer]:
        """The answers of the engines that give one; failures are handled elsewhere."""
        async with httpx.AsyncClient(
            headers=self._headers, timeout=_TIMEOUT_SECONDS, trust_env=False
        ) as client:
            answers = await asyncio.gather(*(self._ask(client, engine) for engine in engines))
        return [answer for answer in answers if answer is not None]

    async def _ask(self, client: httpx.AsyncClient, engine: Engine) -> ProbeAnswer | None:
        body = {
            "input_ids": self._tokens,
            "sampling_params": {"max_new_tokens": 1, "temperature": 1.0},
            "return_logprob": True,
            "logprob_start_len": 0,
        }
        try:
            reply = await client.post(f"{engine.url}/generate", json=body)
            reply.raise_for_status()
            meta = reply.json()["meta_info"]
            log_probs = tuple(float(entry[0]) for entry in meta["input_token_logprobs"][1:])
            version = int(meta["weight_version"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            log.warning("probe.failed", engine=engine.id, error=repr(error))
            return None
        if len(log_probs) < len(self._tokens) - 1:  # its worker is stopping
            log.warning("probe.failed", engine=engine.id, error="the engine has aborted it")
            return None
        return ProbeAnswer(engine.id, version, log_probs)
