"""Metrics and status of a worker."""

import collections
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from rljob.buffer.records import REWARD_ERROR, Sample

EngineState = Literal["starting", "ready", "stopped"]

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_WINDOW_SECONDS = 60.0


class WorkerMetrics:
    """Prometheus metrics and /status of a worker."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._groups = Counter(
            "rljob_rollout_groups",
            "Groups completed, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self._samples = Counter(
            "rljob_rollout_samples", "Samples completed.", registry=self.registry
        )
        self._tokens = Counter(
            "rljob_rollout_tokens", "Response tokens of completed samples.", registry=self.registry
        )
        self._failed_generations = Counter(
            "rljob_rollout_failed_generations",
            "Requests that the engine did not answer, or not in time.",
            registry=self.registry,
        )
        self._reward_failures = Counter(
            "rljob_rollout_reward_failures",
            "Samples that could not be judged and got the failure reward.",
            registry=self.registry,
        )
        self._reward_outages = Gauge(
            "rljob_rollout_reward_outages",
            "Reward servers that do not answer at the moment.",
            registry=self.registry,
        )
        self._turns = Histogram(
            "rljob_rollout_episode_turns",
            "Turns of an episode of the generate function.",
            buckets=(1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128),
            registry=self.registry,
        )
        self._failed_episodes = Counter(
            "rljob_rollout_failed_episodes",
            "Attempts at an episode in which the generate function failed.",
            registry=self.registry,
        )
        self._history_changed = Counter(
            "rljob_rollout_history_changed",
            "Turns that the chat template rendered differently, so that a new trajectory began.",
            registry=self.registry,
        )
        self._generation = Histogram(
            "rljob_rollout_generation_seconds",
            "Time of a request to the engine, until all of its responses were there.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._lease = Histogram(
            "rljob_rollout_lease_seconds",
            "Time from the lease of a group to its completion.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._held_back = Counter(
            "rljob_rollout_held_back_seconds",
            "Time in which the engine was ready and there was no group to generate.",
            registry=self.registry,
        )
        self._status: dict[str, Any] = {
            "failed": 0,
            "in_flight": 0,
            "groups": 0,
            "samples": 0,
            "reward_failures": 0,
        }
        self._engine: EngineState = "starting"
        self._admissible = False
        self._published = -1
        self._generated = -1
        self._lately = _Window()
        self._idle = _Window()
        self._idle_since: float | None = None
        for name, text, read in (
            ("groups_in_flight", "Groups leased.", lambda: self._status["in_flight"]),
            ("tokens_per_second", "Response tokens a second, last minute.", self._lately.rate),
            ("held_back_ratio", "Share of the last minute without groups.", self._held_back_share),
            ("weights_version", "Weight version of the last sample.", lambda: self._generated),
            ("published_version", "Weight version published last.", lambda: self._published),
            ("engine_ready", "1: the engine generates.", self._is_ready),
        ):
            Gauge(f"rljob_rollout_{name}", text, registry=self.registry).set_function(read)

    def engine(self, state: EngineState) -> None:
        """Sets the state of the engine."""
        self._engine = state

    def admissible(self, now: bool) -> None:
        """Sets whether the engine's weights may be used now."""
        self._admissible = now

    def is_admissible(self) -> bool:
        """Whether the engine works, or could work, with weights that may be used."""
        return self._engine == "ready" and self._admissible

    def published(self, version: int) -> None:
        """Sets the published weight version, as the worker last saw it."""
        self._published = version

    def in_flight(self, groups: int) -> None:
        """Sets how many groups are leased now."""
        self._status["in_flight"] = groups

    def episode_played(self, turns: int, history_changed: int) -> None:
        """Counts an episode of the generate function.

        Args:
            turns: calls of the engine.
            history_changed: turns that the chat template rendered differently from what the engine
                had made, so that a new trajectory began.
        """
        self._turns.observe(turns)
        self._history_changed.inc(history_changed)

    def episode_failed(self) -> None:
        """Counts an attempt at an episode that failed."""
        self._failed_episodes.inc()

    def reward_outages(self, count: int) -> None:
        """Sets how many reward servers do not answer."""
        self._reward_outages.set(count)

    def generation_failed(self) -> None:
        """Counts a request that the engine did not answer, or not in time."""
        self._failed_generations.inc()

    def completed(self, samples: Sequence[Sample], *, failed: bool) -> None:
        """Counts a completed group."""
        tokens = sum(sample.tokens for sample in samples)
        self._groups.labels("failed" if failed else "completed").inc()
        self._samples.inc(len(samples))
        self._tokens.inc(tokens)
        self._lately.add(tokens)
        failures = sum(REWARD_ERROR in sample.metadata for sample in samples)
        self._reward_failures.inc(failures)
        self._status["reward_failures"] += failures
        self._status["groups"] += 1
        self._status["failed"] += failed
        self._status["samples"] += len(samples)
        versions = [version for sample in samples for version in sample.versions]
        self._generated = max([self._generated, *versions])

    def generated(self, seconds: float) -> None:
        """Counts an answered request, which took this long."""
        self._generation.observe(seconds)

    def held(self, seconds: float) -> None:
        """Counts a completed group, which was leased this long ago."""
        self._lease.observe(seconds)

    @contextmanager
    def waiting(self, *, idle: bool) -> Iterator[None]:
        """Measures the wait for groups; `idle`: the worker has none."""
        if not idle:
            yield
            return
        self._idle_since = began = time.monotonic()
        try:
            yield
        finally:
            self._idle_since = None
            seconds = time.monotonic() - began
            self._held_back.inc(seconds)
            self._idle.add(seconds)

    def status(self) -> dict[str, Any]:
        """The body of /status."""
        return {
            "engine": self._engine,
            **self._status,
            "tokens_per_second": round(self._lately.rate(), 1),
            "held_back_share": round(self._held_back_share(), 3),
            "weight_version": self._generated,
            "published_version": self._published,
        }

    def _is_ready(self) -> bool:
        return self._engine == "ready"

    def _held_back_share(self) -> float:
        since = self._idle_since
        now = 0.0 if since is None else (time.monotonic() - since) / _WINDOW_SECONDS
        return min(1.0, self._idle.rate() + now)


class _Window:
    """Amounts over the last minute."""

    def __init__(self) -> None:
        self._amounts: collections.deque[tuple[float, float]] = collections.deque()

    def add(self, amount: float) -> None:
        """Adds an amount that occurred just now."""
        self._amounts.append((time.monotonic(), amount))
        self._forget()

    def rate(self) -> float:
        """The amount per second; called from the status server's thread."""
        oldest = time.monotonic() - _WINDOW_SECONDS
        return sum(amount for at, amount in list(self._amounts) if at > oldest) / _WINDOW_SECONDS

    def _forget(self) -> None:
        oldest = time.monotonic() - _WINDOW_SECONDS
        while self._amounts and self._amounts[0][0] <= oldest:
            self._amounts.popleft()
