"""The operator's Prometheus metrics."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rljob_operator.cache import Cache

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_NO_REPLY = "none"


class Metrics:
    """Metrics of the operator's work."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register all series."""
        self.registry = registry
        self._requests = Counter(
            "rljob_operator_api_requests",
            "Requests to the API server; code none: there was no reply.",
            ["method", "code"],
            registry=registry,
        )
        self._errors = Counter(
            "rljob_operator_errors",
            "Failed reconcile passes, by kind of error.",
            ["kind"],
            registry=registry,
        )
        self.passes = Histogram(
            "rljob_operator_reconcile_seconds",
            "Time of a reconcile pass over one job, including its requests.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.waits = Histogram(
            "rljob_operator_queue_wait_seconds",
            "Time from when a job became due until its pass began.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._depth = Gauge("rljob_operator_queue_depth", "Jobs that are due.", registry=registry)
        self.leading = Gauge(
            "rljob_operator_leading", "1: this operator leads; 0: standby.", registry=registry
        )

    def request(self, method: str, code: int) -> None:
        """Count a request by its status code; code 0: no reply."""
        self._requests.labels(method, str(code) if code else _NO_REPLY).inc()

    def error(self, kind: str) -> None:
        """Count a failed pass."""
        self._errors.labels(kind).inc()

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Export the queue's length."""
        self._depth.set_function(length)

    def watch_jobs(self, cache: Cache, leads: Callable[[], bool]) -> None:
        """Export the metrics of the jobs in the cache, while this operator leads.

        Otherwise each job would be counted once for each replica.
        """
        self.registry.register(_Jobs(cache, leads))


class _Jobs(Collector):
    """Jobs by phase, and the progress of each running job; computed at every scrape."""

    def __init__(self, cache: Cache, leads: Callable[[], bool]) -> None:
        self._cache = cache
        self._leads = leads

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        if not self._leads():
            return
        phases: Tally[str] = Tally()
        names = ["namespace", "job"]
        progress = GaugeMetricFamily(
            "rljob_job_progress_ratio", "Completed share of the rollout batches.", labels=names
        )
        reward = GaugeMetricFamily(
            "rljob_job_reward", "Mean reward of the last rollout batch.", labels=names
        )
        version = GaugeMetricFamily(
            "rljob_job_weight_version", "Published weight version.", labels=names
        )
        for key, job in self._cache.jobs():
            summary = job.summary
            phases[summary.phase] += 1
            if summary.phase != "Running":
                continue
            labels = key.split("/")
            if summary.progress.rollouts:
                share = summary.progress.rollout / summary.progress.rollouts
                progress.add_metric(labels, share)
            if summary.progress.reward is not None:
                reward.add_metric(labels, summary.progress.reward)
            version.add_metric(labels, summary.weights.version)
        jobs = GaugeMetricFamily("rljob_operator_jobs", "Jobs by phase.", labels=["phase"])
        for phase, count in sorted(phases.items()):
            jobs.add_metric([phase], count)
        yield from (jobs, progress, reward, version)
