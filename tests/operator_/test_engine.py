"""A bug in the operator is told loudly, and costs only the job that it is about."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from kubernetes.aio.client import Configuration
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from rljob_operator import engine as module
from rljob_operator.action import Decision
from rljob_operator.api import Api
from rljob_operator.engine import Engine
from rljob_operator.leadership import Leadership
from rljob_operator.metrics import Metrics
from rljob_operator.observed import Cluster, Observed
from rljob_operator.settings import Settings

SETTINGS = Settings((), "system", "one", "127.0.0.1", 0, 2, 600, False, "trainer:1", "rollout:1")


def job(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "team", "uid": name, "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {}}


def test_a_bug_ends_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def decide(observed: Observed, now: datetime) -> Decision:
        seen.append(observed.manifest["metadata"]["name"])
        if seen[-1] == "bad":
            raise TypeError("of the operator's own")
        return Decision()

    async def live() -> CollectorRegistry:
        metrics = Metrics(CollectorRegistry())
        api = Api(Configuration(), metrics)
        engine = Engine(api, SETTINGS, Cluster(), metrics, Leadership())
        monkeypatch.setattr(engine, "ready", lambda: True)
        work = asyncio.create_task(engine.work())
        for name in ("bad", "good", "better"):
            engine.cache.put_job(job(name))
        async with asyncio.timeout(30):
            while {"bad", "good", "better"} - set(seen):
                await asyncio.sleep(0)
        await engine.stop(5)
        work.cancel()
        return metrics.registry

    monkeypatch.setattr(module, "reconcile", decide)
    with capture_logs() as logs:
        registry = asyncio.run(live())
    assert registry.get_sample_value("rljob_operator_errors_total", {"kind": "TypeError"}) == 1
    (crash,) = [each for each in logs if each["event"] == "pass.crashed"]
    assert (crash["job"], crash["exc_info"], crash["log_level"]) == ("team/bad", True, "error")
