"""What a reward is given."""

from dataclasses import dataclass
from typing import Any

from rljob.buffer.records import Status


@dataclass(frozen=True)
class RewardInput:
    """One response and what it answers.

    Args:
        prompt: the text that the model saw.
        response: the response's text with special tokens, except the one that has ended it.
        plain_response: its text without any special token.
        label: the prompt's reference answer, a JSON value.
        metadata: of the prompt; `source` is the file and line it is from.
        response_tokens: the response as the engine sampled it.
        status: "completed", or "truncated" at the longest length.
        index: of the response in its group; the default serves tests of one's own reward.
        seed: of the group, the same in every attempt and after a resume; default as above.
    """

    prompt: str
    response: str
    plain_response: str
    label: Any
    metadata: dict[str, Any]
    response_tokens: list[int]
    status: Status
    index: int = 0
    seed: int = 0
