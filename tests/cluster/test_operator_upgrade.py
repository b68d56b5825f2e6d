"""An upgrade of the operator leaves running jobs alone."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.client import Client
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fixtures import JobMaker
from tests.cluster.jobs import WORKLOADS, Job
from tests.cluster.operator import Operator, namespaced_rights
from tests.cluster.test_operator_life import look_at

Upgrade = Callable[[], Operator]
ROUTER = {"router": {"enabled": True}}


@pytest.fixture
def upgrade(control_plane: ControlPlane, cluster: Client, rljobs: None) -> Iterator[Upgrade]:
    """An operator runs; called, the next version with other default images takes its place."""
    rights = namespaced_rights(control_plane, cluster.namespace)

    def operator(version: int, **options: str) -> Operator:
        images = (f"--trainer-image=trainer:{version}", f"--rollout-image=rollout:{version}")
        alone = ("--no-leader-election", *images)
        return Operator(control_plane, rights, *alone, namespace=cluster.namespace, **options)

    first, second = operator(1), operator(2, name="next", module="tests.cluster.next_operator")

    def start() -> Operator:
        assert first.stop() == 0
        second.start()
        return second

    first.start()
    yield start
    first.kill()
    second.kill()


@pytest.fixture
def job(upgrade: Upgrade, own_job: JobMaker) -> Job:
    made = own_job("math")
    made.run(rollout={"replicas": 2, "gpusPerReplica": 1, **ROUTER})
    return made


def generations(job: Job) -> dict[str, Any]:
    return {role: job.workload(role)["metadata"]["generation"] for role in WORKLOADS}


def templates(job: Job) -> dict[str, Any]:
    return {role: job.workload(role)["spec"]["template"] for role in WORKLOADS}


def containers(job: Job) -> dict[str, Any]:
    return {role: made["spec"]["containers"][0] for role, made in templates(job).items()}


def is_new(job: Job) -> bool:
    """Whether all roles have the images and the resources of the next version."""
    made = containers(job)
    images = {each["image"] for each in made.values()}
    cores = {made[role]["resources"]["requests"]["cpu"] for role in ("trainer", "rollout")}
    return images == {"trainer:2", "rollout:2"} and cores == {"2"}


def test_a_running_job_stays_as_it_is_until_its_spec_changes(job: Job, upgrade: Upgrade) -> None:
    before, made, pods = generations(job), templates(job), job.uids()
    files = job.client.get("v1/configmaps", "math-job")["metadata"]["resourceVersion"]
    told = job.events()
    operator = upgrade()
    look_at(job, operator)
    look_at(job, operator)
    assert (generations(job), templates(job), job.uids()) == (before, made, pods)
    assert job.client.get("v1/configmaps", "math-job")["metadata"]["resourceVersion"] == files
    assert job.events() == told
    job.change(rollout={"replicas": 3})
    job.until(lambda: len(job.pods("rollout")) == 3, "it is scaled")
    assert templates(job) == made
    assert pods <= job.uids()
    job.change(schedule={"saveInterval": 7})
    job.until(lambda: is_new(job), "it takes the new images")
    job.tells("Updated", "StatefulSet math-trainer")
    job.tells("PodsRolled", "default images: rollout rollout:2, trainer trainer:2")
    job.until(lambda: not pods & job.uids(), "its pods are new")
    job.reaches("Running")
    assert [reason for reason, _ in job.events()].count("PodsRolled") == 1
    assert operator.errors() == 0


def test_resumed_it_takes_the_new_ones(job: Job, upgrade: Upgrade) -> None:
    made = templates(job)
    upgrade()
    job.change(suspend=True)
    job.until(lambda: not job.pods(), "its pods are gone")
    job.reaches("Suspended")
    assert templates(job) == made
    job.change(suspend=False)
    job.reaches("Running")
    assert is_new(job)
    job.tells("PodsRolled", "default images: rollout rollout:2, trainer trainer:2")
