"""The run as the buffer knows it: engines, leases, occupancy."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from rljob.buffer.records.groups import Group, Partial

Phase = Literal["starting", "running", "stopping", "finished"]


@dataclass(frozen=True)
class Engine:
    """A live engine. `id` is new at every start of the engine, because its weights are then new.

    `groups` is the number of groups that its worker is generating, `busy_seconds` the time since
    its start in which there was at least one, `trouble` what its worker waits for, such as a reward
    server that does not answer. These are as of the last heartbeat, and ignored when engines are
    compared.
    """

    id: str
    worker: str
    url: str
    groups: int = field(default=0, compare=False)
    busy_seconds: float = field(default=0.0, compare=False)
    trouble: str = field(default="", compare=False)

    @classmethod
    def unpack_all(cls, reply: Sequence[bytes]) -> list[Self]:
        """The engines in a script's reply of alternating ids and JSON records, sorted by id."""
        found = (
            cls(id=key.decode(), **json.loads(record))
            for key, record in zip(reply[::2], reply[1::2], strict=True)
        )
        return sorted(found, key=lambda engine: engine.id)


@dataclass(frozen=True)
class RunState:
    """The state of the run in the buffer. `version` -1: no weights published yet."""

    incarnation: int
    version: int
    phase: Phase


@dataclass(frozen=True)
class Lease:
    """A group that this worker owns until `deadline` (seconds of time.monotonic).

    `attempt` counts the workers that were lost with the group, and this one. `partial` is what an
    earlier worker had generated when it gave the group back.
    """

    entry: str
    group: Group
    deadline: float
    attempt: int
    partial: Partial | None


@dataclass(frozen=True)
class Occupancy:
    """Numbers of groups in the buffer: not leased; leased; completed but not collected."""

    waiting: int
    leased: int
    ready: int


@dataclass(frozen=True)
class Memory:
    """Memory of the buffer's server in bytes: used; allowed, 0: without limit."""

    used: int
    limit: int
