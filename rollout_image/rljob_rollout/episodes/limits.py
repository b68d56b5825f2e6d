"""Limits of an episode."""

from dataclasses import dataclass
from typing import Literal

from rljob.api import RLJobSpec
from rljob_rollout.engine_arguments import longest_request

Limit = Literal["turns", "tokens", "seconds"]

_FIELDS = {
    "turns": "rollout.episodes.maxTurns",
    "tokens": "rollout.episodes.contextTokens",
    "seconds": "rollout.episodes.timeoutSeconds",
}


class LimitReachedError(Exception):
    """An episode has reached a limit; it may still return, and is judged as truncated."""

    def __init__(self, limit: Limit, value: float) -> None:
        super().__init__(
            f"the episode has reached its limit of {value:g} {limit} ({_FIELDS[limit]})"
        )
        self.limit = limit


@dataclass(frozen=True)
class EpisodeLimits:
    """What an episode may use.

    Args:
        turns: calls of the engine; None: any number.
        tokens: of one context, prompt and all turns.
        seconds: from its begin to its end.
    """

    turns: int | None
    tokens: int
    seconds: float

    @classmethod
    def of(cls, spec: RLJobSpec) -> "EpisodeLimits":
        """The limits of a job."""
        episodes = spec.rollout.episodes
        tokens = episodes.context_tokens or longest_request(spec)
        return cls(episodes.max_turns, tokens, episodes.timeout_seconds)
