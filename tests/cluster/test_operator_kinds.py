"""Kinds of other projects that appear and disappear while the operator runs."""

from collections.abc import Iterator

import pytest

from tests.cluster import crd
from tests.cluster.client import Client, Manifest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fixtures import JobMaker
from tests.cluster.jobs import Job
from tests.cluster.operator import Operator, namespaced_rights

MONITORS = "monitoring.coreos.com/v1/podmonitors"
GROUPS = "scheduling.volcano.sh/v1beta1/podgroups"


@pytest.fixture
def looking(control_plane: ControlPlane, cluster: Client, rljobs: None) -> Iterator[Operator]:
    """An operator that looks every second what is installed."""
    rights = namespaced_rights(control_plane, cluster.namespace)
    operator = Operator(
        control_plane, rights, "--resync-seconds=1", namespace=cluster.namespace, name="looking"
    )
    operator.start()
    operator.wait_until_leading()
    yield operator
    operator.kill()


@pytest.fixture
def installed(control_plane: ControlPlane) -> Iterator[list[str]]:
    """Empty; what a test has put there is taken away."""
    yield []
    everywhere = control_plane.client("")
    there = [file for file in crd.OTHERS if is_there(everywhere, file.stem)]
    crd.remove(everywhere, *there)


def is_there(client: Client, stem: str) -> bool:
    group, _, plural = stem.partition("_")
    definitions = "apiextensions.k8s.io/v1/customresourcedefinitions"
    return client.find(definitions, f"{plural}.{group}") is not None


def found(job: Job, resource: str) -> Manifest | None:
    try:
        return job.client.find(resource, job.name)
    except KeyError:
        return None


def test_a_monitor_is_made_once_its_kind_is_there(
    cluster: Client, looking: Operator, installed: list[str], own_job: JobMaker
) -> None:
    job = own_job("math")
    job.run()
    before = job.uids()
    crd.install(cluster, *(file for file in crd.OTHERS if "podmonitors" in file.name))
    job.until(lambda: found(job, MONITORS), "its PodMonitor is there")
    crd.remove(cluster, *(file for file in crd.OTHERS if "podmonitors" in file.name))
    job.change(rollout={"replicas": 1})
    job.until(lambda: len(job.pods("rollout")) == 1, "it goes on without")
    looking.check()
    assert job.uids() < before


def test_a_gang_waits_for_the_kind_that_it_needs(
    cluster: Client, looking: Operator, installed: list[str], own_job: JobMaker
) -> None:
    job = own_job("gang")
    job.trainer.say(phase="running")
    job.create(gang={"scheduler": "volcano"})
    condition = job.says("Accepted", "KindMissing")
    assert "PodGroup" in condition["message"]
    assert job.pods() == []
    crd.install(cluster, *(file for file in crd.OTHERS if "volcano" in file.name))
    job.until(lambda: found(job, GROUPS), "its PodGroup is there")
    # Volcano itself is not: nobody schedules its pods.
    job.says("Accepted", "Valid")
    job.until(lambda: job.pods("trainer"), "its pods are there")
    scheduler = {each["spec"]["schedulerName"] for each in job.pods("trainer")}
    assert scheduler == {"volcano"}
