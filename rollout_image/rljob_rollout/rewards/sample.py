"""What a reward is given."""

from dataclasses import dataclass
from typing import Any

from rljob.buffer.records import Status


@dataclass(frozen=True)
class RewardInput:
    """One response and what it answers.

    Args:
        prompt: the text that the model saw.
        response: the response's text, without special tokens.
        label: the prompt's reference answer, a JSON value.
        metadata: of the prompt; `source` is the file and line it is from.
        response_tokens: the response as the engine sampled it.
        status: "completed", or "truncated" at the longest length.
    """

    prompt: str
    response: str
    label: Any
    metadata: dict[str, Any]
    response_tokens: list[int]
    status: Status
