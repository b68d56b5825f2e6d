"""Pod templates that only the API server can judge."""

from typing import Any

import pytest

from tests.cluster.client import Manifest
from tests.cluster.fixtures import JobMaker
from tests.cluster.jobs import WORKLOADS, Job

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"dnsPolicy": "Never"}, "dnsPolicy"),
    ({"noSuchField": 1}, "noSuchField"),
    ({"containers": "one"}, "containers"),
    ({"nodeSelector": {"gpu": 5}}, "nodeSelector"),
    ({"restartPolicy": "Sometimes"}, "restartPolicy"),
    ({"volumes": [{"name": "A b", "emptyDir": {}}]}, "volumes"),
]


def state(job: Job) -> dict[str, Manifest]:
    """What its roles run by."""
    found = {role: job.workload(role)["spec"] for role in WORKLOADS}
    return {**found, "job": job.client.get("v1/configmaps", f"{job.name}-job")["data"]}


@pytest.mark.parametrize("role", ["trainer", "rollout"])
def test_one_that_is_wrong_is_told_by_its_field_and_changes_nothing(
    new_job: JobMaker, role: str
) -> None:
    job = new_job("math")
    job.run(rollout={"replicas": 2, "gpusPerReplica": 1, "router": {"enabled": True}})
    before, pods = state(job), job.uids()
    for spec, named in WRONG:
        # With a change of another field, which must not take effect either.
        job.change(schedule={"rollouts": 11}, **{role: {"template": {"spec": spec}}})
        accepted = job.says("Accepted", "Invalid")
        assert accepted["message"].startswith(f"spec.{role}.template: the API server refuses ")
        assert named in accepted["message"]
        assert state(job) == before
        assert job.status["phase"] == "Running"
        job.change(schedule={"rollouts": 10}, **{role: {"template": {"spec": None}}})
        job.says("Accepted", "Valid")
    assert job.uids() == pods


def test_a_new_job_with_a_wrong_one_starts_once_it_is_mended(new_job: JobMaker) -> None:
    job = new_job("math")
    job.trainer.say(phase="running")
    job.create(rollout={"replicas": 1, "template": {"spec": {"noSuchField": 1}}})
    job.says("Accepted", "Invalid")
    assert job.client.list("v1/configmaps", job.selector) == []
    assert job.status["phase"] == "Pending"
    job.change(rollout={"template": None})
    job.reaches("Running")
