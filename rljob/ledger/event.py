"""The events of `ledger.jsonl`, which the trainer writes and the audit reads."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Count = Annotated[int, Field(ge=0)]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Start(_Event):
    """A trainer takes the run over.

    `rollout` batches have been trained on. Batches consist of `batch_size` groups of `samples`
    samples, whose tokens are at most `max_staleness` versions old; a group is in `max_uses` batches
    at most. An epoch has `prompts` prompts; None: the source has no known length, and its prompts
    are counted from 0, all in epoch 0. Without a `buffer_filter` groups are first used in the order
    of their admission. `files` has the checksum of each prompt file's content.
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
    """The prompt of line `index` becomes an open group, `version` being the published weights."""

    event: Literal["admit"] = "admit"
    group: Annotated[int, Field(ge=1)]
    epoch: Count
    index: Count
    version: Annotated[int, Field(ge=-1)]


class Skip(_Event):
    """A prompt does not become a group."""

    event: Literal["skip"] = "skip"
    epoch: Count
    index: Count
    reason: Annotated[str, Field(min_length=1)]


class Evaluate(_Event):
    """The ids from `first` to `last` go to groups of an evaluation, which are not trained on."""

    event: Literal["evaluate"] = "evaluate"
    name: str
    first: Annotated[int, Field(ge=1)]
    last: Annotated[int, Field(ge=1)]


class Consume(_Event):
    """A group is trained on in batch `rollout`, for the `use`-th time.

    With its last use it ends. `version` is that of the published weights; `versions` are those that
    made the group's tokens, growing.
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
    """A group ends that was trained on `uses` times, fewer than it might have been."""

    event: Literal["retire"] = "retire"
    group: Annotated[int, Field(ge=1)]
    uses: Annotated[int, Field(ge=1)]
    reason: Annotated[str, Field(min_length=1)]


class Publish(_Event):
    """Weights of this version are with the engines."""

    event: Literal["publish"] = "publish"
    version: Count


class Finish(_Event):
    """The run has reached its end, after `rollout` batches."""

    event: Literal["finish"] = "finish"
    rollout: Count


Event = Start | Admit | Skip | Evaluate | Consume | Drop | Retire | Publish | Finish

EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])
