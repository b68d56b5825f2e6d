"""The events of `ledger.jsonl`, which the trainer writes and the audit reads."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Count = Annotated[int, Field(ge=0)]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Start(_Event):
    """A trainer starts, for the first time or after a restart.

    `rollout` batches have been trained on. A batch has `batch_size` groups of `samples` samples,
    whose tokens are at most `max_staleness` versions old; a group is used in at most `max_uses`
    batches. An epoch has `prompts` prompts; None: the source has no known length, and its prompts
    are numbered from 0, all in epoch 0. Without a `buffer_filter`, groups are first used in order
    of admission. `files` has the checksum of each prompt file's content.
    """

    event: Literal["start"] = "start"
    incarnation: Annotated[int, Field(ge=1)]
    rollout: Count
    prompts: Annotated[int, Field(ge=1)] | None
    batch_size: Annotated[int, Field(ge=1)]
    samples: Annotated[int, Field(ge=1)]
    max_staleness: Count
    max_uses: Annotated[int, Field(ge=1)]
    buffer_filter: str | None
    files: dict[str, str] = {}


class Admit(_Event):
    """The prompt with number `index` becomes an open group; `version` is the published one."""

    event: Literal["admit"] = "admit"
    group: Annotated[int, Field(ge=1)]
    epoch: Count
    index: Count
    version: Annotated[int, Field(ge=-1)]


class Skip(_Event):
    """A prompt is skipped and does not become a group."""

    event: Literal["skip"] = "skip"
    epoch: Count
    index: Count
    reason: Annotated[str, Field(min_length=1)]


class Evaluate(_Event):
    """The group ids `first` to `last` are used by an evaluation, which is not trained on."""

    event: Literal["evaluate"] = "evaluate"
    name: str
    first: Annotated[int, Field(ge=1)]
    last: Annotated[int, Field(ge=1)]


class Consume(_Event):
    """A group is trained on in batch `rollout`, for the `use`-th time.

    The group ends with its last use. `version` is the published weight version; `versions` are the
    versions that generated the group's tokens, in increasing order.
    """

    event: Literal["consume"] = "consume"
    group: Annotated[int, Field(ge=1)]
    rollout: Annotated[int, Field(ge=1)]
    use: Annotated[int, Field(ge=1)]
    version: Count
    versions: list[Count]
    samples: Count
    tokens: Count


class Drop(_Event):
    """A group ends without being trained on."""

    event: Literal["drop"] = "drop"
    group: Annotated[int, Field(ge=1)]
    reason: Annotated[str, Field(min_length=1)]


class Retire(_Event):
    """A group ends after `uses` uses, fewer than allowed."""

    event: Literal["retire"] = "retire"
    group: Annotated[int, Field(ge=1)]
    uses: Annotated[int, Field(ge=1)]
    reason: Annotated[str, Field(min_length=1)]


class Publish(_Event):
    """The engines have the weights of this version."""

    event: Literal["publish"] = "publish"
    version: Count


class Finish(_Event):
    """The run has reached its end, after `rollout` batches."""

    event: Literal["finish"] = "finish"
    rollout: Count


Event = Start | Admit | Skip | Evaluate | Consume | Drop | Retire | Publish | Finish

EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])
