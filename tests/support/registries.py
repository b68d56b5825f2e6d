"""The metrics of every role, from its own code, with a value for each of their labels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from rljob.api import RLJob
from rljob.buffer.records import Memory, Occupancy
from rljob.telemetry.server import StatusServer
from rljob_operator.cache import Cache
from rljob_operator.metrics import Metrics
from rljob_rollout.engine_metrics import EngineMetrics
from rljob_rollout.worker_metrics import WorkerMetrics
from rljob_trainer.telemetry.health import Health
from rljob_trainer.telemetry.recorder import Recorder
from rljob_trainer.telemetry.utilization import Utilization
from tests.support.an_evaluation import an_evaluation
from tests.support.job import manifest

# Read from the engine of the sorting demo, in the middle of a batch; some families of it.
SGLANG_METRICS = Path(__file__).with_name("sglang_metrics.txt")
_NO_ENGINE = "http://127.0.0.1:1"


def _trainer(directory: Path) -> CollectorRegistry:
    registry = CollectorRegistry()
    job = RLJob.model_validate(manifest(directory))
    recorder = Recorder(job, directory, registry)
    recorder.evaluation(0, an_evaluation(0.5))
    recorder.close()
    Health(job.spec, registry).buffer(Occupancy(8, 2, 1), Memory(1 << 20, 1 << 30))
    Utilization(registry)
    return registry


def _worker(_directory: Path, engine: str = _NO_ENGINE) -> CollectorRegistry:
    registry = WorkerMetrics().registry
    registry.register(EngineMetrics(engine))
    return registry


def _operator(_directory: Path) -> CollectorRegistry:
    metadata = {"name": "math", "namespace": "ml", "uid": "1", "resourceVersion": "1"}
    progress = {"rollout": 3, "rollouts": 10, "reward": 0.5}
    status = {"phase": "Running", "progress": progress, "weights": {"version": 3}}
    cache = Cache(lambda _: None)
    cache.put_job({"metadata": metadata, "status": status})
    metrics = Metrics(CollectorRegistry())
    metrics.watch_jobs(cache, lambda: True)
    metrics.request("GET", 200)
    metrics.error("conflict")
    return metrics.registry


_MAKERS: dict[str, Callable[..., CollectorRegistry]] = {
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
def served(role: str, directory: Path, **about: str) -> Iterator[int]:
    """The role's metrics, served as the role serves them; the port.

    Args:
        role: one of ROLES.
        directory: for what it writes.
        about: `engine`: the address of a worker's engine.
    """
    server = _server(_MAKERS[role](directory, **about))
    server.start()
    try:
        yield server.port
    finally:
        server.close()


def _server(registry: CollectorRegistry) -> StatusServer:
    return StatusServer("127.0.0.1", 0, registry, dict)
