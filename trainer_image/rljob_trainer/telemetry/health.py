"""The trainer's Prometheus gauges for alerts: bounds, times of last events, buffer, engines."""

import math
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from rljob.api import RLJobSpec
from rljob.buffer.records import Memory, Occupancy


class Health:
    """What a job's state is judged by, beside the metrics of its last batch. Lives on rank 0."""

    def __init__(
        self,
        spec: RLJobSpec,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Registers all series; `clock` gives Unix time."""

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"rljob_{name}", text, registry=registry)

        self._clock = clock
        self._batch = gauge(
            "batch_timestamp_seconds",
            "Unix time of the last batch; until there is one, of the trainer's start.",
        )
        self._checkpoint = gauge(
            "checkpoint_timestamp_seconds",
            "Unix time of the last checkpoint; until there is one, of the trainer's start.",
        )
        for each in (self._batch, self._checkpoint):
            each.set(clock())
        interval = gauge("checkpoint_interval_batches", "Batches between two checkpoints.")
        interval.set(spec.schedule.save_interval)
        bound = gauge("staleness_bound", "Largest age of a token that is trained on, in versions.")
        bound.set(spec.schedule.max_staleness)
        self._mismatch = gauge(
            "mismatch_bound",
            "Mean difference of log-probabilities at which the run stops; NaN: it is not checked.",
        )
        self._mismatch.set(math.nan)
        self._incarnation = gauge("incarnation", "Starts of this run's trainer so far.")
        self._lagging = gauge(
            "engines_lagging", "Live engines that do not hold the published weights."
        )
        self._groups = Gauge(
            "rljob_buffer_groups", "Groups in the buffer, by state.", ["state"], registry=registry
        )
        self._used = gauge("buffer_memory_bytes", "Memory that the buffer's server uses.")
        self._limit = gauge(
            "buffer_memory_limit_bytes", "Memory that it may use; NaN: it has no limit."
        )
        for each in (self._used, self._limit):
            each.set(math.nan)

    def started(self, incarnation: int) -> None:
        """Sets how often the run's trainer has started."""
        self._incarnation.set(incarnation)

    def mismatch(self, bound: float | None) -> None:
        """Sets the mean difference at which the run stops; None: it is not checked."""
        self._mismatch.set(math.nan if bound is None else bound)

    def trained(self) -> None:
        """Notes that a batch has just been trained on."""
        self._batch.set(self._clock())

    def saved(self) -> None:
        """Notes that a checkpoint has just been completed."""
        self._checkpoint.set(self._clock())

    def lagging(self, engines: int) -> None:
        """Sets how many live engines do not hold the published weights."""
        self._lagging.set(engines)

    def buffer(self, occupancy: Occupancy, memory: Memory | None) -> None:
        """Sets what is in the buffer; `memory` is None where its server does not tell."""
        for state in ("waiting", "leased", "ready"):
            self._groups.labels(state).set(getattr(occupancy, state))
        if memory is not None:
            self._used.set(memory.used)
            self._limit.set(memory.limit or math.nan)
