"""The engine's own metrics, chosen and renamed for the worker's `/metrics`.

Only the worker's port is scraped: the engine's has a name of its own for everything, and several
hundred series.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean

import httpx
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

# A scrape of Prometheus waits ten seconds by default; an engine that hangs must not use them up.
_ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class _Gauge:
    """One gauge: SGLang's name, ours, and how to make one number of several schedulers'."""

    source: str
    name: str
    help: str
    join: Callable[[Iterable[float]], float]


_GAUGES = (
    _Gauge(
        "sglang:token_usage",
        "rljob_engine_kv_cache_use",
        "Share of the engine's key-value cache that running requests hold.",
        max,
    ),
    _Gauge(
        "sglang:cache_hit_rate",
        "rljob_engine_cache_hit_ratio",
        "Share of the last prompts' tokens that were in the engine's prefix cache.",
        fmean,
    ),
    _Gauge(
        "sglang:num_running_reqs",
        "rljob_engine_running_requests",
        "Samples that the engine generates.",
        sum,
    ),
    _Gauge(
        "sglang:num_queue_reqs",
        "rljob_engine_queued_requests",
        "Samples that wait in the engine until it has room for them.",
        sum,
    ),
    _Gauge(
        "sglang:gen_throughput",
        "rljob_engine_tokens_per_second",
        "Tokens that the engine generates a second, as it measures itself.",
        sum,
    ),
)
_PREFIXES = tuple(gauge.source + end for gauge in _GAUGES for end in ("{", " "))


class EngineMetrics(Collector):
    """Asks the engine at each scrape. While it does not answer, the gauges have no value."""

    def __init__(self, url: str) -> None:
        """
        Args:
            url: of the engine. It serves its metrics without a key.
        """
        self._client = httpx.Client(base_url=url, timeout=_ANSWER_SECONDS, trust_env=False)

    def collect(self) -> Iterator[Metric]:
        """Every gauge, with its value if the engine told one."""
        told = self._told()
        for gauge in _GAUGES:
            family = GaugeMetricFamily(gauge.name, gauge.help)
            if values := told.get(gauge.source):
                family.add_metric([], gauge.join(values))
            yield family

    def _told(self) -> dict[str, list[float]]:
        """Values by SGLang's names: one of each scheduler."""
        try:
            reply = self._client.get("/metrics").raise_for_status()
        except httpx.HTTPError:
            return {}
        # Of some five hundred lines these are the few worth parsing.
        lines = [line for line in reply.text.splitlines() if line.startswith(_PREFIXES)]
        told: dict[str, list[float]] = {}
        for family in text_string_to_metric_families("\n".join([*lines, ""])):
            for sample in family.samples:
                # Stages of a pipeline run the same requests, and priorities are parts of a total.
                if sample.labels.get("pp_rank", "0") == "0" and not sample.labels.get("priority"):
                    told.setdefault(sample.name, []).append(sample.value)
        return told
