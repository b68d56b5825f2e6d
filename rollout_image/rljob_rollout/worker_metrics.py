"""What a worker tells about itself."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from rljob_rollout.engine import Output


class WorkerMetrics:
    """Prometheus metrics and /status of a worker."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._groups = Counter(
            "rljob_rollout_groups", "Groups completed, by outcome.", ["outcome"],
            registry=self.registry,
        )  # fmt: skip
        self._samples = Counter(
            "rljob_rollout_samples", "Samples generated.", registry=self.registry
        )
        self._tokens = Counter(
            "rljob_rollout_tokens", "Response tokens generated.", registry=self.registry
        )
        self._in_flight = Gauge(
            "rljob_rollout_groups_in_flight", "Groups leased.", registry=self.registry
        )
        self._version = Gauge(
            "rljob_rollout_weights_version", "Published weight version.", registry=self.registry
        )
        self._held_back = Counter(
            "rljob_rollout_held_back_seconds",
            "Time without any group because none was admitted.",
            registry=self.registry,
        )
        self._status: dict[str, Any] = {
            "groups": 0, "failed": 0, "samples": 0, "tokens": 0, "in_flight": 0, "version": -1,
            "held_back_seconds": 0.0,
        }  # fmt: skip

    def completed(self, outputs: Sequence[Output], *, failed: bool) -> None:
        """A group was completed."""
        tokens = sum(len(output.tokens) for output in outputs)
        self._groups.labels("failed" if failed else "completed").inc()
        self._samples.inc(len(outputs))
        self._tokens.inc(tokens)
        self._status["groups"] += 1
        self._status["failed"] += failed
        self._status["samples"] += len(outputs)
        self._status["tokens"] += tokens

    def in_flight(self, groups: int) -> None:
        """So many groups are leased now."""
        self._in_flight.set(groups)
        self._status["in_flight"] = groups

    def version(self, version: int) -> None:
        """The published weight version as the worker last saw it."""
        self._version.set(version)
        self._status["version"] = version

    @contextmanager
    def held_back(self, *, busy: bool) -> Iterator[None]:
        """Counts the time inside the block, unless the engine is busy meanwhile."""
        began = time.monotonic()
        yield
        if not busy:
            seconds = time.monotonic() - began
            self._held_back.inc(seconds)
            self._status["held_back_seconds"] += seconds

    def status(self) -> dict[str, Any]:
        """The body of /status."""
        return dict(self._status)
