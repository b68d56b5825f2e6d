"""A real Prometheus scrapes the servers of all roles, and evaluates every rule and query."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from helm.monitoring.__main__ import DASHBOARDS
from helm.monitoring.pictures import Source, picture
from tests.monitoring import parts
from tests.monitoring.prometheus import Prometheus, prometheus, scrape, target
from tests.support.registries import SGLANG_METRICS, served
from tests.support.replay import replayed
from tests.support.waiting import wait_for

pytestmark = pytest.mark.cluster

# As kube-state-metrics 2 writes it (its internal/store/pod_test.go): two pods are not the job's.
KUBE_STATE_METRICS = Path(__file__).with_name("kube_state_metrics.txt")
SVG = "{http://www.w3.org/2000/svg}"
RESTARTS = "kube_pod_container_status_restarts_total"
# A share of samples; these servers never judge any. tests/integration/test_run.py has it.
JUDGED = "rljob_rollout_reward_failures:ratio_rate15m"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Labels as docs/monitoring.md has them for one machine; the operator's as in a cluster."""
    directory = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        engine = stack.enter_context(replayed([SGLANG_METRICS.read_text()]))
        ports = {
            "trainer": stack.enter_context(served("trainer", directory)),
            "rollout": stack.enter_context(served("rollout", directory, engine=f"http://{engine}")),
            "operator": stack.enter_context(served("operator", directory)),
        }
        cluster = stack.enter_context(replayed([KUBE_STATE_METRICS.read_text()]))

        def role(name: str, **labels: str) -> dict[str, Any]:
            labels |= {"namespace": "ml", "pod": f"math-{name}"}
            return target(f"127.0.0.1:{ports[name]}", **labels)

        jobs = [
            scrape("math", *(role(n, rljob_dev_role=n) for n in ("trainer", "rollout"))),
            scrape("rljob-operator", role("operator"), honor_labels=True),
            scrape("kube-state-metrics", target(cluster), honor_labels=True),
        ]
        yield stack.enter_context(prometheus(directory, jobs))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_query_has_an_answer(server: Prometheus, name: str) -> None:
    server.wait_for_answers([expr for expr in parts.queries(name) if JUDGED not in expr])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_dashboard_can_be_drawn(server: Prometheus, name: str) -> None:
    server.wait_for_answers(["namespace_job:rljob_tokens:rate5m"])
    end = time.time()
    drawn = picture(name, Source(server.url, end - 10, end, namespace="ml", job="math"))
    said = [element.text for element in ElementTree.fromstring(drawn).iter(f"{SVG}text")]
    assert {panel["title"] for panel in parts.panels(name)} <= set(said)


def test_every_rule_can_be_evaluated(server: Prometheus) -> None:
    def rules() -> list[dict[str, Any]]:
        groups = server.get("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    wait_for(lambda: all(rule["health"] != "unknown" for rule in rules()), "rules were evaluated")
    assert len(rules()) == len(parts.rules("record")) + len(parts.rules("alert"))
    assert [rule["lastError"] for rule in rules() if rule["health"] != "ok"] == []


def test_a_jobs_series_are_found_by_namespace_and_job(server: Prometheus) -> None:
    for name in ("rljob_batch_timestamp_seconds", "rljob_rollout_engine_ready"):
        assert len(server.query(f'{name}{{namespace="ml",job="math"}}')) == 1
    assert len(server.query('rljob_operator_leading{namespace="ml"}')) == 1


def test_restarts_are_those_of_the_jobs_own_pods(server: Prometheus) -> None:
    (expr,) = [expr for expr in parts.queries("job") if RESTARTS in expr]
    found = {each["metric"]["pod"]: float(each["value"][1]) for each in server.query(expr)}
    assert found == {
        "math-trainer-0": 1,
        "math-buffer-0": 0,
        "math-rollout-6d9c7b5f4d-x2k8p": 3,
        "math-router-5b7f9d8c6f-9lq4z": 0,
    }
