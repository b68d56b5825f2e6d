"""The records that trainer and workers exchange through the buffer."""

from rljob.buffer.records.encoding import (
    SCHEMA,
    Mask,
    Numbers,
    Record,
    RecordError,
    Tokens,
)
from rljob.buffer.records.groups import (
    REWARD_ERROR,
    Completion,
    Finish,
    Group,
    Kind,
    Partial,
    Response,
    Sample,
    Status,
    Trajectory,
)
from rljob.buffer.records.run import Engine, Lease, Memory, Occupancy, Phase, RunState
from rljob.buffer.records.segment import EMPTY, Segment, VersionSpan

__all__ = [
    "EMPTY",
    "REWARD_ERROR",
    "SCHEMA",
    "Completion",
    "Engine",
    "Finish",
    "Group",
    "Kind",
    "Lease",
    "Mask",
    "Memory",
    "Numbers",
    "Occupancy",
    "Partial",
    "Phase",
    "Record",
    "RecordError",
    "Response",
    "RunState",
    "Sample",
    "Segment",
    "Status",
    "Tokens",
    "Trajectory",
    "VersionSpan",
]
