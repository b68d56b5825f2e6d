"""What every reward is: a judge of one sample."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

from rljob.buffer.records import Status


@dataclass(frozen=True)
class RewardInput:
    """A generated sample, as rewards see it."""

    prompt: str
    response: str
    label: Any
    metadata: dict[str, Any]
    response_tokens: list[int]
    status: Status
    index: int  # of the sample in its group


class RewardFailed(Exception):  # noqa: N818  (an outcome of a sample, not a bug)
    """A sample could not be judged; with `usage` no retry can help, only the user."""

    def __init__(self, reason: str, *, usage: bool = False) -> None:
        super().__init__(reason)
        self.usage = usage


class Reward(Protocol):
    """A judge of samples."""

    async def score(self, sample: RewardInput) -> float:
        """The sample's reward, a finite number.

        Raises:
            RewardFailed: there is none.
        """
        ...


def finite(value: Any, name: str) -> float:
    """The value as a reward.

    Raises:
        RewardFailed: it is no finite number.
    """
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    raise RewardFailed(f"{name} returned {value!r}; allowed: a finite number")
