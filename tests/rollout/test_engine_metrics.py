"""What a worker tells of its engine, from a text that a real engine wrote."""

import socket

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from rljob_rollout.engine_metrics import EngineMetrics
from tests.support.registries import SGLANG_METRICS
from tests.support.replay import replayed


def told(*texts: str) -> list[dict[str, float]]:
    """The gauges that have a value, at as many scrapes as there are texts."""
    with replayed(texts) as address:
        registry = CollectorRegistry()
        registry.register(EngineMetrics(f"http://{address}"))
        return [values(registry) for _ in texts]


def values(registry: CollectorRegistry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    return {
        name: float(value)
        for name, value in (line.split() for line in lines if not line.startswith("#"))
    }


def gauge(name: str, value: float, **labels: str) -> str:
    """A line as SGLang writes it."""
    inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"sglang:{name}{{{inside}}} {value}\n"


def test_the_engines_numbers_are_told_by_our_names() -> None:
    """The expected ones are read off the text."""
    assert told(SGLANG_METRICS.read_text()) == [
        {
            "rljob_engine_kv_cache_use": 0.09,
            "rljob_engine_cache_hit_ratio": 0.027083333333333334,
            "rljob_engine_running_requests": 256,
            "rljob_engine_queued_requests": 0,
            "rljob_engine_tokens_per_second": 0,
        }
    ]


def test_each_scrape_asks_again() -> None:
    first, second = told(gauge("num_queue_reqs", 3), gauge("num_queue_reqs", 5))
    assert (first, second) == (
        {"rljob_engine_queued_requests": 3},
        {"rljob_engine_queued_requests": 5},
    )


def test_schedulers_that_share_the_requests_are_added_up() -> None:
    text = "".join(
        gauge(name, value, dp_rank=str(rank), pp_rank="0")
        for name, pair in {
            "num_running_reqs": (4, 6),
            "gen_throughput": (100.0, 50.5),
            "token_usage": (0.25, 0.75),
            "cache_hit_rate": (0.5, 0.25),
        }.items()
        for rank, value in enumerate(pair)
    )
    assert told(text) == [
        {
            "rljob_engine_kv_cache_use": 0.75,
            "rljob_engine_cache_hit_ratio": 0.375,
            "rljob_engine_running_requests": 10,
            "rljob_engine_tokens_per_second": 150.5,
        }
    ]


def test_stages_of_a_pipeline_and_priorities_are_not_counted_twice() -> None:
    text = "".join(
        gauge("num_running_reqs", value, pp_rank=rank, priority=priority)
        for value, rank, priority in ((8, "0", ""), (8, "1", ""), (5, "0", "1"), (3, "0", "2"))
    )
    assert told(text) == [{"rljob_engine_running_requests": 8}]


def test_an_engine_that_has_not_started_has_names_but_no_values() -> None:
    registry = CollectorRegistry()
    registry.register(EngineMetrics("http://127.0.0.1:1"))
    assert values(registry) == {}
    assert b"# TYPE rljob_engine_kv_cache_use gauge" in generate_latest(registry)


def test_an_engine_that_hangs_does_not_hold_up_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rljob_rollout.engine_metrics._ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes requests and never answers
        registry = CollectorRegistry()
        registry.register(EngineMetrics(f"http://127.0.0.1:{silent.getsockname()[1]}"))
        assert values(registry) == {}
