"""Fixtures on a real control plane; a test that uses one has the marker `cluster`."""

import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.cluster import crd
from tests.cluster.binaries import binaries, missing
from tests.cluster.client import Client
from tests.cluster.control_plane import ControlPlane
from tests.cluster.jobs import Job
from tests.cluster.operator import Operator, namespaced_rights
from tests.cluster.trainer import Trainer

_NODES = 4
_SHARED = "shared"  # a namespace


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "control_plane" in getattr(item, "fixturenames", ()):
            item.add_marker("cluster")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds what is missing before the first test: its time limit is no measure for a build."""
    chosen = any(item.get_closest_marker("cluster") for item in session.items)
    if chosen and not session.config.option.collectonly and missing():
        capture = session.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print(file=sys.stderr)
            binaries()


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """Started once, with a few nodes of 8 GPUs."""
    plane = ControlPlane()
    try:
        plane.start()
        plane.add_nodes(_NODES)
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def rljobs(control_plane: ControlPlane) -> None:
    """The control plane knows RLJobs."""
    crd.install(control_plane.client(""))


@pytest.fixture
def cluster(control_plane: ControlPlane) -> Iterator[Client]:
    """A client that may do everything, in a namespace of the test's own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    client = control_plane.client(name)
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield client
    control_plane.client("").discard("v1/namespaces", name)  # goes in its own time


@pytest.fixture
def operator(control_plane: ControlPlane, cluster: Client, rljobs: None) -> Iterator[Operator]:
    """The operator, with the rights that it is shipped with, for the test's own namespace."""
    with _operating(control_plane, cluster.namespace) as process:
        yield process


@pytest.fixture(scope="session")
def shared_operator(control_plane: ControlPlane, rljobs: None) -> Iterator[Operator]:
    """One for all tests that leave it as it is, in the namespace `shared`."""
    metadata = {"name": _SHARED}
    control_plane.client("").create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    with _operating(control_plane, _SHARED) as process:
        yield process


@contextmanager
def _operating(plane: ControlPlane, namespace: str) -> Iterator[Operator]:
    process = Operator(plane, namespaced_rights(plane, namespace), namespace=namespace)
    process.start()
    process.wait_until_leading()
    try:
        yield process
        process.check()
        # Whatever a test had it do, it may.
        assert process.metric("rljob_operator_api_requests_total", code="403") == 0
    finally:
        process.kill()


JobMaker = Callable[[str], Job]


@pytest.fixture
def new_job(control_plane: ControlPlane, shared_operator: Operator) -> Iterator[JobMaker]:
    """Names jobs of the namespace `shared`, which a test may create; they are deleted after it."""
    client = control_plane.client(_SHARED)
    with jobs_of(client) as make:
        yield lambda name: make(f"{name}-{uuid.uuid4().hex[:4]}")
    shared_operator.check()


@pytest.fixture
def own_job(cluster: Client) -> Iterator[JobMaker]:
    """Names jobs of the test's own namespace, which it may create."""
    with jobs_of(cluster) as make:
        yield make


@contextmanager
def jobs_of(client: Client) -> Iterator[JobMaker]:
    """Names jobs of a namespace, which may be created; they are deleted in the end."""
    made: list[Job] = []

    def make(name: str) -> Job:
        made.append(Job(client, name, Trainer()))
        return made[-1]

    try:
        yield make
    finally:
        for job in made:
            job.close()


@pytest.fixture
def trainer_pod() -> Iterator[Trainer]:
    """What answers for the trainer's pod of a job that has its template."""
    answers = Trainer()
    yield answers
    answers.close()
