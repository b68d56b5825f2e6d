"""The state of autoscaling between passes; small enough for the job's status."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, NonNegativeInt, TypeAdapter, ValidationError

from rljob.api.base import PositiveInt

_PARTS = 10  # per window: resolution at which wishes are kept
_GAP = timedelta(seconds=60)  # wishes from before a gap of this length are dropped


@dataclass(frozen=True, slots=True)
class Wish:
    """Minimum and maximum of the replicas wished for, from `at` until the next wish."""

    at: AwareDatetime
    least: PositiveInt
    most: PositiveInt


@dataclass(frozen=True, slots=True)
class Change:
    """The last change by rate.

    Args:
        at: time of the change.
        before: replicas before it.
        after: replicas after it.
        tokens_per_second: tokens trained on before it; None: already judged, or not to be judged.
        possible: possible gain in tokens per second, as a share.
    """

    at: AwareDatetime
    before: PositiveInt
    after: PositiveInt
    tokens_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    possible: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


@dataclass(frozen=True, slots=True)
class Limit:
    """More than `replicas` gained too little; not tried again before `until`.

    `vain` counts the earlier trials that failed as well.
    """

    replicas: PositiveInt
    until: AwareDatetime
    vain: NonNegativeInt


@dataclass(frozen=True, slots=True)
class Memory:
    """The whole state.

    Args:
        complete: all replicas hold the published weights.
        since: when `complete` last changed; None: not seen yet.
        wishes: recent wishes, oldest first.
        change: the last change by rate.
        limit: upper limit after a step that gained too little.
    """

    complete: bool = False
    since: AwareDatetime | None = None
    wishes: tuple[Wish, ...] = ()
    change: Change | None = None
    limit: Limit | None = None

    @classmethod
    def from_json(cls, value: object) -> "Memory":
        """Read the output of `to_json`; an invalid value gives an empty memory."""
        try:
            return _ADAPTER.validate_python(value)
        except ValidationError:
            return cls()

    def to_json(self) -> Mapping[str, Any]:
        """JSON values."""
        written: dict[str, Any] = _ADAPTER.dump_python(self, mode="json", exclude_defaults=True)
        return written

    def see_engines(self, complete: bool, now: datetime) -> "Memory":
        """Record whether all replicas hold the published weights now."""
        # A time in the future comes from another clock.
        if self.since is not None and self.since <= now and complete == self.complete:
            return self
        return replace(self, complete=complete, since=now)

    def wish(self, replicas: int, window: timedelta, now: datetime) -> "Memory":
        """Add a wish, and drop those from before the window."""
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
        """The minimum wish of the window; `unknown` if the memory does not cover it."""
        if self.wishes[0].at > now - window:
            return unknown
        return min(wish.least for wish in _since(self.wishes, now - window))

    def most(self, window: timedelta, now: datetime, unknown: int) -> int:
        """The maximum wish of the window; `unknown` if the memory does not cover it."""
        if self.wishes[0].at > now - window:
            return unknown
        return max(wish.most for wish in _since(self.wishes, now - window))


def _since(wishes: tuple[Wish, ...], begin: datetime) -> tuple[Wish, ...]:
    """The wishes that apply at `begin` or later."""
    return (*(wish for wish, later in pairwise(wishes) if later.at > begin), wishes[-1])


_ADAPTER = TypeAdapter(Memory)
