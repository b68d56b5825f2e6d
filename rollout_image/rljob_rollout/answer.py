"""A sample that was generated, before it is judged."""

from dataclasses import dataclass, field
from typing import Any

from rljob.buffer.records import Group, Response, Status, Trajectory
from rljob_rollout.tokenizer import ResponseText, ResponseTokenizer


@dataclass(frozen=True)
class Answer:
    """What became of a sample's prompt.

    Args:
        trajectories: all tokens.
        text: what is judged.
        tokens: of the text, for a reward that counts them.
        status: how it ended.
        reward: what it earns, if that is known without judging it.
        earned: what its turns have earned, on top of the reward.
        metadata: JSON values of the user's code.
    """

    trajectories: tuple[Trajectory, ...]
    text: ResponseText
    tokens: list[int]
    status: Status
    reward: float | None = None
    earned: float = 0.0
    metadata: dict[str, Any] = field(default_factory=dict)


def of_response(group: Group, response: Response, tokenizer: ResponseTokenizer) -> Answer:
    """The answer of one turn."""
    # If the job ignores the end of sequence, a response of the full length is complete.
    is_cut = response.finish == "length" and not group.sampling["ignore_eos"]
    return Answer(
        trajectories=(Trajectory(None, response.segment),),
        text=tokenizer.decode(response),
        tokens=response.segment.tokens.tolist(),
        status="truncated" if is_cut else "completed",
    )
