"""What autoscaling remembers between two looks; small enough for the job's status."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, NonNegativeInt, TypeAdapter, ValidationError

from rljob.api.base import PositiveInt

_PARTS = 10  # of a window: how finely wishes are kept
_GAP = timedelta(seconds=60)  # wishes from before such a silence say nothing


@dataclass(frozen=True, slots=True)
class Wish:
    """Least and most replicas wished for from `at` on, until the next."""

    at: AwareDatetime
    least: PositiveInt
    most: PositiveInt


@dataclass(frozen=True, slots=True)
class Change:
    """The last change by rate.

    Args:
        at: when.
        before: replicas before it.
        after: replicas after it.
        tokens_per_second: trained on before it; None: it is judged already, or not to be.
        possible: share by which these could grow.
    """

    at: AwareDatetime
    before: PositiveInt
    after: PositiveInt
    tokens_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    possible: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


@dataclass(frozen=True, slots=True)
class Limit:
    """More than `replicas` brought nothing; not tried again before `until`.

    `vain` counts the trials before that failed as well.
    """

    replicas: PositiveInt
    until: AwareDatetime
    vain: NonNegativeInt


@dataclass(frozen=True, slots=True)
class Memory:
    """All of it.

    Args:
        complete: all replicas hold the published weights.
        since: when that became so, or ended; None: not seen yet.
        wishes: the latest, oldest first.
        change: the last one by rate.
        limit: where more replicas brought nothing.
    """

    complete: bool = False
    since: AwareDatetime | None = None
    wishes: tuple[Wish, ...] = ()
    change: Change | None = None
    limit: Limit | None = None

    @classmethod
    def from_json(cls, value: object) -> "Memory":
        """Reads `to_json`; what is not of its form is forgotten."""
        try:
            return _ADAPTER.validate_python(value)
        except ValidationError:
            return cls()

    def to_json(self) -> Mapping[str, Any]:
        """JSON values."""
        written: dict[str, Any] = _ADAPTER.dump_python(self, mode="json", exclude_defaults=True)
        return written

    def see_engines(self, complete: bool, now: datetime) -> "Memory":
        """Whether all replicas hold the published weights now."""
        # A time to come is another clock's.
        if self.since is not None and self.since <= now and complete == self.complete:
            return self
        return replace(self, complete=complete, since=now)

    def wish(self, replicas: int, window: timedelta, now: datetime) -> "Memory":
        """Adds a wish; those that lie before the window are forgotten."""
        part = window / _PARTS
        wishes = self.wishes
        if wishes and not timedelta(0) <= now - wishes[-1].at <= part + _GAP:
            wishes = ()
        if wishes and now - wishes[-1].at < part:
            last = wishes[-1]
            merged = Wish(last.at, min(last.least, replicas), max(last.most, replicas))
            wishes = (*wishes[:-1], merged)
        else:
            wishes = (*wishes, Wish(now, replicas, replicas))
        return replace(self, wishes=_since(wishes, now - window))

    def least(self, window: timedelta, now: datetime, unknown: int) -> int:
        """The least wish of the window; `unknown` where the memory is shorter."""
        if self.wishes[0].at > now - window:
            return unknown
        return min(wish.least for wish in _since(self.wishes, now - window))

    def most(self, window: timedelta, now: datetime, unknown: int) -> int:
        """The greatest wish of the window; `unknown` where the memory is shorter."""
        if self.wishes[0].at > now - window:
            return unknown
        return max(wish.most for wish in _since(self.wishes, now - window))


def _since(wishes: tuple[Wish, ...], begin: datetime) -> tuple[Wish, ...]:
    """Those that hold at `begin` or later."""
    return (*(wish for wish, later in pairwise(wishes) if later.at > begin), wishes[-1])


_ADAPTER = TypeAdapter(Memory)
