"""Two operators in one cluster: one leads, and the other takes over."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.cluster.client import Client, Manifest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fixtures import JobMaker
from tests.cluster.operator import Operator, namespaced_rights
from tests.support.waiting import wait_for

LEASES = "coordination.k8s.io/v1/leases"
LEASE = "rljob-operator"


@pytest.fixture
def pair(control_plane: ControlPlane, cluster: Client, rljobs: None) -> Iterator[list[Operator]]:
    """The first leads; the second is ready to."""
    rights = namespaced_rights(control_plane, cluster.namespace)
    both = [
        Operator(control_plane, rights, namespace=cluster.namespace, name=name)
        for name in ("first", "second")
    ]
    try:
        both[0].start()
        both[0].wait_until_leading()
        both[1].start()
        yield both
    finally:
        for each in both:
            each.kill()


def lease(cluster: Client) -> Manifest:
    found: Manifest = cluster.get(LEASES, LEASE)["spec"]
    return found


def test_only_one_writes(cluster: Client, pair: list[Operator], own_job: JobMaker) -> None:
    job = own_job("math")
    job.run()
    assert lease(cluster)["holderIdentity"] == "first"
    assert [each.metric("rljob_operator_leading") for each in pair] == [1, 0]
    assert pair[1].writes() == 0
    assert pair[0].errors() == 0
    # Both know the job, and one tells of it.
    wait_for(lambda: '"jobs":1' in pair[1].get("/status").replace(" ", ""), "it is known")
    assert [each.metric("rljob_operator_jobs", phase="Running") for each in pair] == [1, 0]
    assert [each.metric("rljob_job_weight_version") for each in pair] == [3, 0]


def test_an_orderly_stop_hands_over(
    cluster: Client, pair: list[Operator], own_job: JobMaker
) -> None:
    job = own_job("math")
    job.run()
    before = job.uids()
    assert pair[0].stop() == 0
    # Nobody has to wait for its end.
    assert lease(cluster)["holderIdentity"] in ("", "second")
    pair[1].wait_until_leading()
    job.change(rollout={"replicas": 3})
    job.until(lambda: len(job.pods("rollout")) == 3, "the second looks after it")
    assert before < job.uids()


def test_a_leader_that_is_killed_is_replaced(
    cluster: Client, pair: list[Operator], own_job: JobMaker
) -> None:
    job, new = own_job("math"), own_job("new")
    job.run()
    before = job.uids()
    pair[0].kill()
    new.trainer.say(phase="running")
    new.create()
    pair[1].wait_until_leading()
    new.reaches("Running")
    assert lease(cluster)["holderIdentity"] == "second"
    assert job.uids() == before
    # It comes back, as Kubernetes brings it, and is the one that is ready to lead.
    pair[0].start()
    assert pair[0].metric("rljob_operator_leading") == 0


def test_a_leader_that_was_frozen_does_not_go_on_beside_the_other(
    cluster: Client, pair: list[Operator], own_job: JobMaker
) -> None:
    job = own_job("math")
    job.run()
    os.kill(pair[0].pid, signal.SIGSTOP)
    job.change(rollout={"replicas": 3})
    pair[1].wait_until_leading()
    job.until(lambda: len(job.pods("rollout")) == 3, "the second looks after it")
    os.kill(pair[0].pid, signal.SIGCONT)
    wait_for(lambda: has_failed(pair[0]), "the first ends")
    assert "leader.lost" in pair[0].log.read_text()
    assert lease(cluster)["holderIdentity"] == "second"
    job.until(lambda: job.status["rollout"]["replicas"] == 3, "it stays as the second made it")


def test_a_leader_whose_lease_another_has_taken_ends(cluster: Client, pair: list[Operator]) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    theirs = {"holderIdentity": "third", "renewTime": now, "leaseDurationSeconds": 15}
    cluster.patch(LEASES, LEASE, {"spec": theirs})
    wait_for(lambda: has_failed(pair[0]), "the first ends")
    # The third says no more: after its time is over the second leads.
    pair[1].wait_until_leading()


def has_failed(operator: Operator) -> bool:
    """Whether it has ended with 1, by which Kubernetes starts it again."""
    try:
        operator.check()
    except RuntimeError as error:
        assert "ended with 1:" in str(error)
        return True
    return False
