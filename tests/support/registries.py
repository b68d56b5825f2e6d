"""The metrics of every role, from its own code."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

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
    return registry


def _worker(_directory: Path) -> CollectorRegistry:
    return WorkerMetrics().registry


def _operator(_directory: Path) -> CollectorRegistry:
    registry = CollectorRegistry()
    Metrics(registry).watch_jobs(Cache(lambda _: None))
    return registry


_MAKERS: dict[str, Callable[[Path], CollectorRegistry]] = {
    "trainer": _trainer,
    "rollout": _worker,
    "operator": _operator,
}
ROLES = tuple(_MAKERS)


def metrics_text(role: str, directory: Path) -> str:
    """What a role answers to Prometheus at its start."""
    registry = _MAKERS[role](directory)
    _server(registry).close()
    return generate_latest(registry).decode()


@contextmanager
def served(role: str, directory: Path) -> Iterator[int]:
    """The role's metrics, served as the role serves them; the port."""
    server = _server(_MAKERS[role](directory))
    server.start()
    try:
        yield server.port
    finally:
        server.close()


def _server(registry: CollectorRegistry) -> StatusServer:
    return StatusServer("127.0.0.1", 0, registry, dict)
