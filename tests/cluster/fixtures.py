"""Fixtures on a real control plane; a test that uses one has the marker `cluster`."""

import sys
import uuid
from collections.abc import Iterator

import pytest

from tests.cluster.binaries import binaries, missing
from tests.cluster.client import Client
from tests.cluster.control_plane import ControlPlane

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


@pytest.fixture
def cluster(control_plane: ControlPlane) -> Iterator[Client]:
    """A client that may do everything, in a namespace of the test's own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    client = control_plane.client(name)
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield client
    control_plane.client("").delete("v1/namespaces", name)  # goes in its own time
