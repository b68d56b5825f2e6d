"""Fixtures on a real control plane; a test that uses one has the marker `cluster`."""

import sys
import uuid
from collections.abc import Iterator

import pytest

from tests.cluster import crd
from tests.cluster.binaries import binaries, missing
from tests.cluster.client import Client
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operator import Operator, namespaced_rights
from tests.cluster.trainer import Trainer

_NODES = 4


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
    control_plane.client("").delete("v1/namespaces", name)  # goes in its own time


@pytest.fixture
def operator(control_plane: ControlPlane, cluster: Client, rljobs: None) -> Iterator[Operator]:
    """The operator, with the rights that it is shipped with, for the test's own namespace."""
    config = namespaced_rights(control_plane, cluster.namespace)
    process = Operator(control_plane, config, namespace=cluster.namespace)
    process.start()
    process.wait_until_leading()
    try:
        yield process
        process.check()
    finally:
        process.kill()


@pytest.fixture
def trainer_pod() -> Iterator[Trainer]:
    """What answers for the trainer's pod of a job that has its template."""
    answers = Trainer()
    yield answers
    answers.close()
