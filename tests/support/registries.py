"""The metrics of every role, from its own code."""

from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry

from rljob.api import RLJob
from rljob.telemetry.server import StatusServer
from rljob_operator.cache import Cache
from rljob_operator.metrics import Metrics
from rljob_rollout.worker_metrics import WorkerMetrics
from rljob_trainer.health import Health
from rljob_trainer.recorder import Recorder
from rljob_trainer.utilization import Utilization
from tests.support.job import manifest


def _trainer(directory: Path) -> CollectorRegistry:
    registry = CollectorRegistry()
    job = RLJob.model_validate(manifest(directory))
    Recorder(job, directory, registry)
    Health(job.spec, registry)
    Utilization(registry)
    return _served(registry)


def _worker(_directory: Path) -> CollectorRegistry:
    return _served(WorkerMetrics().registry)


def _operator(_directory: Path) -> CollectorRegistry:
    registry = CollectorRegistry()
    Metrics(registry).watch_jobs(Cache(lambda _: None))
    return _served(registry)


def _served(registry: CollectorRegistry) -> CollectorRegistry:
    """With what the server of every role adds."""
    StatusServer("127.0.0.1", 0, registry, dict).close()
    return registry


REGISTRIES: dict[str, Callable[[Path], CollectorRegistry]] = {
    "trainer": _trainer,
    "worker": _worker,
    "operator": _operator,
}
