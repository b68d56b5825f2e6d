"""Groups that are ready to be trained on, as a buffer filter sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rljob.buffer.records import Status


@dataclass(frozen=True)
class ReadySample:
    """One response of a ready group.

    `length` is in tokens, `versions` are the weight versions that generated them, ascending.
    """

    response: str
    reward: float
    length: int
    status: Status
    versions: tuple[int, ...]
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class ReadyGroup:
    """A group as a buffer filter sees it. Read it, do not change it.

    Args:
        prompt: its text.
        label: the prompt's, a JSON value.
        metadata: the prompt's, with its file and line as `source`.
        samples: all responses.
        versions: the weight versions that generated the tokens, ascending.
        age: weight versions published since the oldest token was generated.
        uses: batches that it was part of.
    """

    prompt: str
    label: Any
    metadata: Mapping[str, Any]
    samples: tuple[ReadySample, ...]
    versions: tuple[int, ...]
    age: int
    uses: int

    @property
    def rewards(self) -> tuple[float, ...]:
        """The samples' rewards, in the order of `samples`."""
        return tuple(sample.reward for sample in self.samples)
