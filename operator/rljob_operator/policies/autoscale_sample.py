"""The trainer's numbers that autoscaling uses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rljob_operator.observed import Report

_PHASES = ("running", "evaluating")
_LONGEST = timedelta(days=7)  # longest plausible window; it has few batches
_MOST = 1e12  # largest plausible number of engines, seconds or tokens


@dataclass(frozen=True, slots=True)
class Sample:
    """Shares over the trainer's window of whole batches.

    Args:
        at: when they were read.
        waiting_share: share of the time in which the trainer waited for samples.
        held_share: share of the engines' time in which they had no group to generate.
        engines: engines that hold the published weights now.
        window: length of the window before `at`.
        tokens_per_second: response tokens trained on per second.
    """

    at: datetime
    waiting_share: float
    held_share: float
    engines: int
    window: timedelta
    tokens_per_second: float

    @classmethod
    def of(cls, report: Report | None) -> "Sample | None":
        """The report's numbers; None if one is missing or not plausible."""
        if report is None or report.body.get("phase") not in _PHASES:
            return None
        body = report.body
        waiting, held = _number(body, "wait_share"), _number(body, "held_share")
        window, tokens = _number(body, "window_seconds"), _number(body, "window_tokens_per_second")
        engines = _number(body, "engines")
        if waiting is None or held is None or window is None or tokens is None or engines is None:
            return None
        if waiting > 1 or held > 1 or engines < 1 or window > _LONGEST.total_seconds():
            return None
        length = timedelta(seconds=window)
        return cls(report.at, waiting, held, int(engines), length, tokens)


def _number(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= _MOST else None
