"""A real Prometheus scrapes the servers of all roles, and evaluates every rule and query."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from helm.monitoring.__main__ import DASHBOARDS
from tests.cluster.binaries import binaries
from tests.monitoring import parts
from tests.support.registries import ROLES, served
from tests.support.valkey import free_port
from tests.support.waiting import wait_for

pytestmark = pytest.mark.cluster


class Prometheus:
    """One that runs, and its API."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"

    def get(self, path: str, **parameters: str) -> Any:
        """`data` of the reply."""
        url = f"{self._address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as reply:
            found = json.load(reply)
        assert found["status"] == "success", found
        return found["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self.get("query", query=expr)["result"]
        return result

    def all_answer(self) -> bool:
        try:
            return len(self.query("up == 1")) == len(ROLES)
        except OSError:
            return False  # it is starting


def configuration(ports: dict[str, int]) -> dict[str, Any]:
    """As docs/monitoring.md has it for one machine, with the operator as in a cluster."""

    def target(role: str, **labels: str) -> dict[str, Any]:
        return {
            "targets": [f"127.0.0.1:{ports[role]}"],
            "labels": {"namespace": "ml", "pod": f"math-{role}", **labels},
        }

    job = [target(role, rljob_dev_role=role) for role in ("trainer", "rollout")]
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(parts.RULES / "*.yaml")],
        "scrape_configs": [
            {"job_name": "math", "static_configs": job},
            {
                "job_name": "rljob-operator",
                "honor_labels": True,
                "static_configs": [target("operator")],
            },
        ],
    }


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    directory = tmp_path_factory.mktemp("prometheus")
    program = binaries(("prometheus",))["prometheus"]
    with ExitStack() as stack:
        ports = {role: stack.enter_context(served(role, directory)) for role in ROLES}
        file = directory / "prometheus.yml"
        file.write_text(json.dumps(configuration(ports)))  # JSON is YAML
        port = free_port()
        log = stack.enter_context((directory / "log").open("w"))
        process = subprocess.Popen(
            [
                program,
                f"--config.file={file}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        made = Prometheus(port)
        wait_for(made.all_answer, "all targets answer")
        yield made


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_query_can_be_answered(prometheus: Prometheus, name: str) -> None:
    for expr in parts.queries(name):
        prometheus.query(expr)


def test_every_rule_can_be_evaluated(prometheus: Prometheus) -> None:
    def rules() -> list[dict[str, Any]]:
        groups = prometheus.get("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    wait_for(lambda: all(rule["health"] != "unknown" for rule in rules()), "rules were evaluated")
    assert len(rules()) == len(parts.rules("record")) + len(parts.rules("alert"))
    assert [rule["lastError"] for rule in rules() if rule["health"] != "ok"] == []


def test_a_jobs_series_are_found_by_namespace_and_job(prometheus: Prometheus) -> None:
    for name in ("rljob_batch_timestamp_seconds", "rljob_rollout_engine_ready"):
        assert len(prometheus.query(f'{name}{{namespace="ml",job="math"}}')) == 1
    assert len(prometheus.query('rljob_operator_leading{namespace="ml"}')) == 1
