"""What the trainer asks for, and what the workers answer."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from rljob.buffer.records.encoding import (
    Numbers,
    Record,
    Tokens,
    check_array,
    check_choice,
)
from rljob.buffer.records.segment import Segment

# Key in a sample's metadata: why it could not be judged and got `reward.failureReward`.
REWARD_ERROR = "reward_error"

Kind = Literal["train", "evaluation"]
Finish = Literal["stop", "length", "abort"]
Status = Literal["completed", "truncated", "aborted", "failed"]


@dataclass(frozen=True, eq=False)
class Group(Record):
    """A prompt and the request for `samples` responses to it; the unit that a worker leases.

    `label` and `metadata` are the prompt's JSON values, `sampling` the fields of SamplingSpec, each
    of `rewards` those of a NamedRewardSpec. Samples are seeded from `seed`. `messages` is what a
    chat template rendered the prompt from, for jobs with a generate function.
    """

    id: int
    incarnation: int
    kind: Kind
    prompt: str
    prompt_tokens: Tokens
    messages: list[dict[str, Any]] | None
    label: Any
    metadata: dict[str, Any]
    samples: int
    sampling: dict[str, Any]
    rewards: list[dict[str, Any]]
    seed: int

    def __post_init__(self) -> None:
        check_array("prompt_tokens", self.prompt_tokens, np.int32, len(self.prompt_tokens))
        check_choice("kind", self.kind, ("train", "evaluation"))


@dataclass(frozen=True, eq=False)
class Response:
    """What an engine has sampled after a prompt.

    Args:
        segment: the tokens as sampled, including a final end-of-sequence token.
        finish: why it ended; "abort": it was interrupted, and can be continued.
    """

    PARTS: ClassVar[dict[str, Any]] = {"segment": Segment}

    segment: Segment
    finish: Finish

    def __post_init__(self) -> None:
        check_choice("finish", self.finish, ("stop", "length", "abort"))

    def __len__(self) -> int:
        return len(self.segment)

    def continued(self, more: "Response") -> "Response":
        """This interrupted response extended by its continuation."""
        return Response(self.segment.followed_by(more.segment), more.finish)


@dataclass(frozen=True, eq=False)
class Partial(Record):
    """The partial generation of a group that a worker gave back: a response for each sample."""

    PARTS: ClassVar[dict[str, Any]] = {"responses": Response}

    group: int
    incarnation: int
    responses: tuple[Response, ...]

    @property
    def tokens(self) -> int:
        """Tokens of all its responses."""
        return sum(len(response) for response in self.responses)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A prompt and the tokens that followed it, in one context.

    Args:
        prompt: int32 "prompt"; None: the group's.
        segment: what followed.
        rewards: float32 "tokens": the part of the sample's reward that is earned at single tokens,
            such as the last of a turn; None: none of it is.
    """

    PARTS: ClassVar[dict[str, Any]] = {"segment": Segment}

    prompt: Tokens | None
    segment: Segment
    rewards: Numbers | None = None

    def __post_init__(self) -> None:
        if self.prompt is not None:
            check_array("prompt", self.prompt, np.int32, len(self.prompt))
        if self.rewards is not None:
            check_array("rewards", self.rewards, np.float32, len(self.segment))


@dataclass(frozen=True, eq=False)
class Sample:
    """One answer to a group's prompt.

    Args:
        index: of the sample in its group.
        trajectories: one, or several if its history did not stay one context: the turns of
            sub-agents, or of a context that was cut. Their order is that of the episode.
        response: the text that was judged.
        reward: what the sample earns in all, rewards of single tokens included.
        rewards: what was judged, by name.
        status: how it ended.
        metadata: JSON values from the user's code.
    """

    PARTS: ClassVar[dict[str, Any]] = {"trajectories": Trajectory}

    index: int
    trajectories: tuple[Trajectory, ...]
    response: str
    reward: float
    rewards: dict[str, float]
    status: Status
    metadata: dict[str, Any]

    def __post_init__(self) -> None:
        check_choice("status", self.status, ("completed", "truncated", "aborted", "failed"))

    @property
    def segments(self) -> list[Segment]:
        """The segment of each trajectory."""
        return [one.segment for one in self.trajectories]

    @property
    def tokens(self) -> int:
        """Tokens after the prompts, of all trajectories."""
        return sum(len(segment) for segment in self.segments)

    @property
    def versions(self) -> list[int]:
        """The weight versions of its tokens, ascending."""
        return sorted({span.version for each in self.segments for span in each.versions})


@dataclass(frozen=True, eq=False)
class Completion(Record):
    """A finished group. Times are unix seconds of the worker's clock.

    With `failure` set the group failed permanently for that reason, and `samples` may be empty;
    `failure_is_usage` means that the user must fix something (a hook, the data).
    """

    PARTS: ClassVar[dict[str, Any]] = {"samples": Sample}

    group: int
    incarnation: int
    worker: str
    samples: tuple[Sample, ...]
    failure: str | None
    failure_is_usage: bool
    leased: float
    finished: float
