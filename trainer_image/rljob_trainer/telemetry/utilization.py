"""Who waits for whom: the trainer for samples, or the engines for groups."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from rljob.buffer.records import Engine

_BATCHES = 2  # in the window, at least
_SECONDS = 60.0  # that the window covers, at least; engines report their times every few seconds


@dataclass(frozen=True)
class _Batch:
    """Times of a batch in seconds, without its evaluations; `began` and `ended` are clock times."""

    began: float
    ended: float
    seconds: float
    wait: float
    engines: float  # time of all engines together
    busy: float  # of it, time in which they had a group
    tokens: float


class Utilization:
    """Shares of time over the last whole batches; within one, waiting and working may alternate.

    An engine is busy while its worker has a group. Groups can be leased as soon as they are
    admitted, so an idle engine that holds the published weights is held back by admission.
    Evaluations are left out: no number of engines suits both.
    """

    def __init__(
        self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._batches: deque[_Batch] = deque()
        self._window: tuple[_Batch, ...] = ()
        self._load: dict[str, int] = {}
        self._told: dict[str, float] | None = None  # busy seconds by engine; None: never read
        self._engines = self._busy = 0.0
        self._began = self._looked = clock()
        for name, text in (
            ("wait_share", "Share of the last batches' time in which the trainer waited."),
            ("held_share", "Share of the engines' time in which they had no group."),
        ):
            series = f"rljob_{name.removesuffix('_share')}_ratio"
            gauge = Gauge(series, text, registry=registry)
            gauge.set_function(lambda name=name: self._share(name))  # type: ignore[misc]

    def look(self, engines: Sequence[Engine]) -> None:
        """Reads the busy times of the engines that hold the published weights."""
        now = self._clock()
        told = {engine.id: engine.busy_seconds for engine in engines}
        if self._told is None:
            self._began = now
        else:
            self._engines += (now - self._looked) * len(self._told)
            # An engine that was not there before has started since.
            self._busy += sum(
                max(0.0, seconds - self._told.get(name, 0.0)) for name, seconds in told.items()
            )
        self._told, self._looked = told, now
        self._load = {engine.worker: engine.groups for engine in engines}

    def skip(self) -> None:
        """Leaves out the time since the last batch."""
        self._told = None
        self._engines = self._busy = 0.0

    def batch(self, *, wait: float, seconds: float, tokens: float) -> None:
        """Adds a finished batch.

        Args:
            wait: seconds in which the trainer waited for samples.
            seconds: the batch's total time, without evaluations.
            tokens: response tokens trained on.
        """
        now = self._clock()
        self._batches.append(
            _Batch(self._began, now, seconds, wait, self._engines, self._busy, tokens)
        )
        self._began = now
        self._engines = self._busy = 0.0
        while len(self._batches) > _BATCHES and _covered(list(self._batches)[1:]) >= _SECONDS:
            self._batches.popleft()
        self._window = tuple(self._batches)

    def status(self) -> dict[str, Any]:
        """Utilization for /status; null until the window is full, and once it is out of date."""
        window = self._window
        now = self._clock()
        seconds = _covered(window)
        engines = sum(batch.engines for batch in window)
        full = len(window) >= _BATCHES and seconds >= _SECONDS and engines > 0
        if not full or now - window[-1].ended > seconds:
            shares = dict.fromkeys(
                ("wait_share", "held_share", "window_seconds", "window_tokens_per_second")
            )
            return {**shares, "engine_load": self._load}
        busy = sum(batch.busy for batch in window)
        return {
            "wait_share": round(min(1.0, sum(batch.wait for batch in window) / seconds), 4),
            "held_share": round(max(0.0, 1 - busy / engines), 4),
            "window_seconds": round(now - window[0].began, 3),
            "window_tokens_per_second": round(sum(batch.tokens for batch in window) / seconds, 3),
            "engine_load": self._load,
        }

    def _share(self, name: str) -> float:
        share = self.status()[name]
        return math.nan if share is None else share


def _covered(batches: Sequence[_Batch]) -> float:
    return sum(batch.seconds for batch in batches)
