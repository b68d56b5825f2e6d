"""Which pods of an ended job stay, for their logs."""

from dataclasses import replace

import pytest

from tests.operator_.simulation import FINISHED, Simulation, failed, running


def ended(how: str, **policy: str) -> Simulation:
    """A job that has failed because of its trainer, or has finished."""
    job = running(runPolicy={"backoffLimit": 0, **policy}).wait(60)
    if how == "Failed":
        trainer, buffer = job.pods["job-trainer-0"], job.pods["job-buffer-0"]
        job.pods[trainer.name] = failed(trainer, 1)
        # It has failed before, and has been ready since.
        job.pods[buffer.name] = replace(failed(buffer, 1), ready=True)
    else:
        job.report = FINISHED
    return job.settle()


def kept(job: Simulation) -> list[str]:
    return sorted(pod.name for pod in job.pods.values() if pod.over)


@pytest.mark.parametrize(
    ("policy", "how", "roles"),
    [
        ({}, "Failed", ["trainer"]),
        ({"cleanPods": "Running"}, "Failed", ["trainer"]),
        ({"cleanPods": "Running"}, "Succeeded", []),
        ({"cleanPods": "All"}, "Failed", []),
        ({"cleanPods": "All"}, "Succeeded", []),
        ({"cleanPods": "None"}, "Failed", ["buffer", "rollout", "rollout", "router", "trainer"]),
        ({"cleanPods": "None"}, "Succeeded", ["buffer", "rollout", "rollout", "router", "trainer"]),
    ],
)
def test_pods_that_stay(policy: dict[str, str], how: str, roles: list[str]) -> None:
    job = ended(how, **policy)
    assert job.status["phase"] == how
    assert [name.split("-")[1] for name in kept(job)] == roles
    assert job.alive == [], "all others are gone"
    assert job.told().count("PodKept") == len(roles)


def test_a_failure_is_on_record_before_its_pod_is_touched() -> None:
    """An operator that dies in between finds the evidence, or the record."""
    job = running(runPolicy={"backoffLimit": 0}).wait(60)
    job.pods["job-trainer-0"] = failed(job.pods["job-trainer-0"], 1)
    job.look()
    assert job.status["phase"] == "Failed"
    assert kept(job) == []
    assert job.replicas("rollout") == 2
    assert kept(job.settle()) == ["job-trainer-0"]


def test_what_stays_goes_with_the_job() -> None:
    job = ended("Failed", cleanPods="None").delete()
    job.look()
    assert job.manifest is None, "nothing is waited for"
