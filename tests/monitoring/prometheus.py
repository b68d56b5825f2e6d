"""A real Prometheus, which scrapes what a test gives it."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.binaries import binaries
from tests.monitoring import parts
from tests.support.valkey import free_port
from tests.support.waiting import wait_for


class Prometheus:
    """One that runs, and its API."""

    def __init__(self, port: int, targets: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._targets = targets

    def get(self, path: str, **parameters: str) -> Any:
        """`data` of the reply."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as reply:
            found = json.load(reply)
        assert found["status"] == "success", found
        return found["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The series of an expression, now."""
        result: list[dict[str, Any]] = self.get("query", query=expr)["result"]
        return result

    def all_answer(self) -> bool:
        """Whether it has scraped all targets."""
        try:
            return len(self.query("up == 1")) == self._targets
        except OSError:
            return False  # it is starting

    def wait_for_answers(self, exprs: Sequence[str], seconds: float = 60) -> None:
        """Waits until each has a series: rates need two scrapes, records an evaluation more."""
        for expr in exprs:
            wait_for(lambda expr=expr: bool(self.query(expr)), f"no series: {expr}", seconds)


def target(address: str, **labels: str) -> dict[str, Any]:
    """One server to scrape, with the labels of its series."""
    return {"targets": [address], "labels": labels}


def scrape(job: str, *targets: dict[str, Any], honor_labels: bool = False) -> dict[str, Any]:
    """A job of Prometheus."""
    return {
        "job_name": job,
        "honor_labels": honor_labels,
        "static_configs": list(targets),
    }


@contextmanager
def prometheus(directory: Path, jobs: Sequence[dict[str, Any]]) -> Iterator[Prometheus]:
    """One with the chart's rules that scrapes every second; yielded once all targets answer."""
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(parts.RULES / "*.yaml")],
        "scrape_configs": list(jobs),
    }
    file = directory / "prometheus.yml"
    file.write_text(json.dumps(configuration))  # JSON is YAML
    port = free_port()
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            [
                binaries(("prometheus",))["prometheus"],
                f"--config.file={file}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            made = Prometheus(port, sum(len(job["static_configs"]) for job in jobs))
            wait_for(made.all_answer, "all targets answer")
            yield made
        finally:
            process.kill()
            process.wait()
