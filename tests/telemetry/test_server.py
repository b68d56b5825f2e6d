"""/metrics, /status and /healthz over real HTTP."""

import http.client
import json
import socket

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from rljob.errors import UsageError
from rljob.telemetry.metrics import METRICS, evaluation_metric
from rljob.telemetry.server import StatusServer

HOST = "127.0.0.1"


@pytest.fixture
def server():
    registry = CollectorRegistry()
    for metric in METRICS:
        Gauge(metric.prometheus_name, metric.help, registry=registry).set(0.5)
    with_status = StatusServer(HOST, 0, registry, lambda: {"phase": "running", "reward": 0.61})
    with_status.start()
    yield with_status
    with_status.close()


def get(server: StatusServer, path: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.headers.get("Content-Type", ""), body


def test_status_is_json(server):
    code, kind, body = get(server, "/status")
    assert (code, kind) == (200, "application/json")
    assert json.loads(body) == {"phase": "running", "reward": 0.61}


def test_metrics_are_prometheus(server):
    code, kind, body = get(server, "/metrics")
    assert code == 200
    assert kind.startswith("text/plain; version=0.0.4")
    values = {s.name: s.value for f in text_string_to_metric_families(body) for s in f.samples}
    assert values["rljob_reward_mean"] == 0.5
    names = {metric.prometheus_name for metric in METRICS}
    assert values.keys() == names | {"rljob_build_info"}


def test_healthz_and_the_unknown(server):
    assert get(server, "/healthz")[::2] == (200, "ok\n")
    assert get(server, "/other")[0] == 404


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"metrics port {port} of {HOST} can't be used"):
            StatusServer(HOST, port, CollectorRegistry(), dict)


def test_closing_frees_the_port_also_before_the_start():
    first = StatusServer(HOST, 0, CollectorRegistry(), dict)
    first.close()
    second = StatusServer(HOST, first.port, CollectorRegistry(), dict)
    second.start()
    second.close()


def test_metric_names():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert evaluation_metric("held-out").name == "eval/held-out/reward"
