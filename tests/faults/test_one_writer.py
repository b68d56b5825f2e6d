"""An operator whose Lease can't be renewed does not write when another may lead."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime

import pytest

from tests.cluster.client import Client
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fixtures import JobMaker
from tests.cluster.operator import Operator, namespaced_rights
from tests.cluster.test_operator_leader import LEASE, LEASES, has_failed
from tests.faults.fault import SilentLease
from tests.faults.proxy import Proxy
from tests.support.waiting import wait_for

_AFTER_SECONDS = 5.0  # of changes, after another has taken over


@pytest.fixture
def proxy(control_plane: ControlPlane, cluster: Client, rljobs: None) -> Iterator[Proxy]:
    """Before the operator that leads first; all but the Lease's requests always pass."""
    rights = namespaced_rights(control_plane, cluster.namespace)
    made = Proxy(rights, cluster.namespace, SilentLease())
    yield made
    made.close()


def test_no_write_comes_after_its_time(
    control_plane: ControlPlane, cluster: Client, proxy: Proxy, own_job: JobMaker
) -> None:
    space = cluster.namespace
    first = Operator(control_plane, proxy.kubeconfig, namespace=space, name="first")
    rights = namespaced_rights(control_plane, space)
    second = Operator(control_plane, rights, namespace=space, name="second")
    with ExitStack() as stack:
        stack.callback(second.kill)
        stack.callback(first.kill)
        first.start()
        first.wait_until_leading()
        second.start()
        job = own_job("math")
        job.run()
        assert isinstance(proxy.fault, SilentLease)
        proxy.fault.silent = True
        began, replicas, until = time.time(), 2, None
        while until is None or time.monotonic() < until:
            replicas = 5 - replicas
            job.change(rollout={"replicas": replicas})
            time.sleep(0.2)  # between two changes, each of which is to be written
            if until is None and holder(cluster) == "second":
                until = time.monotonic() + _AFTER_SECONDS
            assert time.time() < began + 60, "the second takes over"
        taken = datetime.fromisoformat(cluster.get(LEASES, LEASE)["spec"]["acquireTime"])
        late = [name for at, name in proxy.sent if at >= taken.timestamp()]
        assert late == []
        # It wrote after the last renewal, so a later end would have been seen.
        assert any(at >= began for at, _ in proxy.sent)
        wait_for(lambda: has_failed(first), "the first ends")
        assert "leader.lost" in first.log.read_text()
        job.until(lambda: job.replicas("rollout") == replicas, "the second looks after it")


def holder(cluster: Client) -> str:
    return str(cluster.get(LEASES, LEASE)["spec"]["holderIdentity"])
