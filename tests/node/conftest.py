"""Fixtures in real pods; every test of this folder has the marker `node`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node import operator, sorting
from tests.node.cluster import NodeCluster
from tests.node.place import INSIDE

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker("node")


@pytest.fixture(scope="session")
def nodes() -> Iterator[NodeCluster]:
    """A cluster of one node."""
    if INSIDE not in os.environ:
        pytest.fail("these tests need namespaces of their own: run `make test-node`")
    cluster = NodeCluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def demo(nodes: NodeCluster) -> None:
    """The operator, and what the sorting demo reads."""
    operator.install(nodes)
    sorting.prepare(nodes)
