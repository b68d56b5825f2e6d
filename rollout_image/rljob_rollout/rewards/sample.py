"""The input of a reward."""

from dataclasses import dataclass, field
from typing import Any

from rljob.buffer.records import Status


@dataclass(frozen=True)
class RewardInput:
    """One response and what it answers.

    Args:
        prompt: the text that the model saw.
        response: the response's text with special tokens, except the one that ended it.
        plain_response: its text without any special tokens.
        label: the prompt's reference answer, a JSON value.
        metadata: the prompt's; `source` is the file and line that it comes from.
        response_tokens: the response as the engine sampled it.
        status: "completed", or "truncated" at the length limit.
        index: of the response in its group; the default is for tests of custom rewards.
        seed: the group's, the same in every attempt and after a resume; default as for `index`.
        max_response_tokens: the longest response that the job allows; default as for `index`.
        prompt_tokens: the prompt as tokens; default as for `index`.
        returned: what the generate function returned besides; default as for `index`.
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
    max_response_tokens: int = 0
    prompt_tokens: list[int] = field(default_factory=list)
    returned: dict[str, Any] = field(default_factory=dict)
