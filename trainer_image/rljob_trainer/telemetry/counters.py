"""The trainer's Prometheus counters, in addition to the metrics of the last batch."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram

# Most rewards lie between 0 and 1; some count points, and some are negative.
_REWARDS = (-10, -5, -2, -1, -0.5, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 2, 5, 10)


class Counters:
    """Counts batches, samples and tokens trained on, and groups dropped; histogram of rewards."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers all series."""
        self._batches = Counter("rljob_batches", "Batches trained on.", registry=registry)
        self._samples = Counter("rljob_samples", "Samples trained on.", registry=registry)
        self._tokens = Counter("rljob_tokens", "Response tokens trained on.", registry=registry)
        self._dropped = Counter(
            "rljob_groups_dropped", "Groups dropped since the start of the run.", registry=registry
        )
        self._reward = Histogram(
            "rljob_reward", "Rewards of the samples.", buckets=_REWARDS, registry=registry
        )
        self._dropped_before = 0

    def batch(self, rewards: Sequence[float], *, samples: int, tokens: int, dropped: int) -> None:
        """Counts a batch that was trained on.

        Args:
            rewards: of its samples, if they were judged.
            samples: their number.
            tokens: response tokens of its samples.
            dropped: groups dropped so far, including by earlier processes of the run.
        """
        self._batches.inc()
        self._samples.inc(samples)
        self._tokens.inc(tokens)
        self._dropped.inc(max(0, dropped - self._dropped_before))
        self._dropped_before = dropped
        for reward in rewards:
            self._reward.observe(reward)
