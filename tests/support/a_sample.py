"""A sample of one trajectory, for tests that care about a few of its fields."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rljob.buffer.records import Sample, Segment, Status, Trajectory, VersionSpan


def a_sample(
    tokens: Sequence[int] = (),
    *,
    logprobs: Sequence[float] | None = None,
    mask: Sequence[int] | None = None,
    versions: Sequence[VersionSpan] = (),
    index: int = 0,
    response: str = "",
    reward: float = 0.0,
    status: Status = "completed",
    metadata: dict[str, Any] | None = None,
) -> Sample:
    """A sample whose log-probabilities are 0, and all of whose tokens are learned, by default."""
    count = len(tokens)
    segment = Segment(
        np.array(tokens, np.int32),
        np.array([0.0] * count if logprobs is None else logprobs, np.float32),
        np.array([1] * count if mask is None else mask, np.uint8),
        tuple(versions),
    )
    return Sample(
        index=index,
        trajectories=(Trajectory(None, segment),),
        response=response,
        reward=reward,
        rewards={},
        status=status,
        metadata=metadata or {},
    )
