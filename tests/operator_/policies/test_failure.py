"""The consequences of a failed container."""

import copy
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from rljob_operator.observed import Pod
from tests.operator_.simulation import RUNNING, Simulation, failed, running


def fail(job: Simulation, role: str, code: int = 1, number: int = 0, why: str = "boom") -> str:
    """The container of one of the role's pods ends; the pod's name."""
    name = job.wait(10).role(role)[number]
    job.pods[name] = failed(job.pods[name], code, why, job.now)
    return name


def fail_and_come_back(job: Simulation, role: str, code: int = 1) -> None:
    name = fail(job, role, code)
    job.settle()
    if name in job.pods:
        job.pods[name] = replace(job.pods[name], ready=True)
        job.settle()


def counted(job: Simulation) -> tuple[int, int]:
    """Failures without progress, and restarts of the job's life."""
    return job.status["failures"]["sinceProgress"], job.status["restarts"]


@pytest.mark.parametrize("role", ["trainer", "rollout", "buffer", "router"])
def test_exit_code_64_fails_the_job_with_its_message(role: str) -> None:
    job = running()
    name = fail(job, role, 64, why="data: line 3 is no JSON")
    job.settle()
    assert job.status["phase"] == "Failed"
    said = f"{name}: Error, exit code 64: data: line 3 is no JSON"
    assert job.condition("Failed")["reason"] == "RoleFailed"
    assert job.condition("Failed")["message"] == said
    assert job.alive == []
    (told,) = [event.message for event in job.events if event.reason == "Failed"]
    assert told == f"RoleFailed: {said}"


def test_failures_count_until_there_is_progress() -> None:
    job = running(runPolicy={"backoffLimit": 2})
    for number in range(2):
        fail_and_come_back(job, "trainer")
        assert counted(job) == (number + 1, number + 1)
    assert job.report is not None
    job.report["rollout"] = 4
    job.settle()
    assert counted(job) == (0, 2)
    for _ in range(2):
        fail_and_come_back(job, "trainer")
    assert job.status["phase"] == "Running"
    fail_and_come_back(job, "trainer")
    assert job.condition("Failed")["reason"] == "BackoffLimitExceeded"
    said = "3 failures without progress, allowed 2; the last: job-trainer-0: Error, exit code 1"
    assert job.condition("Failed")["message"] == f"{said}: boom"
    assert job.alive == []


def test_what_was_trained_before_the_checkpoint_is_no_progress() -> None:
    """A trainer that always fails at batch 6, and goes on from its checkpoint of batch 4."""
    job = running(runPolicy={"backoffLimit": 3})
    for _ in range(4):
        for rollout in (4, 5, 6):
            job.report = {**RUNNING, "rollout": rollout}
            job.settle()
        fail_and_come_back(job, "trainer")
    assert job.status["phase"] == "Failed"


def test_an_end_is_counted_once_however_often_it_is_seen() -> None:
    job = running()
    name = fail(job, "trainer")
    job.settle()
    job.pods[name] = replace(job.pods[name], waiting="CrashLoopBackOff", trouble="back-off 10s")
    job.wait(100).settle()
    job.pods[name] = replace(job.pods[name], waiting="", trouble="", ready=True)
    job.wait(100).settle()
    assert counted(job) == (1, 1)
    assert job.told().count("Restarted") == 1


def test_the_limit_may_be_none_at_all() -> None:
    job = running(runPolicy={"backoffLimit": 0})
    fail(job, "trainer")
    assert job.settle().status["phase"] == "Failed"


def test_pods_of_a_role_that_fail_together_count_as_one() -> None:
    job = running(rollout={"replicas": 8}, runPolicy={"backoffLimit": 2})
    for number in range(8):
        fail(job, "rollout", number=number)
        job.settle()
    assert counted(job) == (1, 1)
    fail(job, "rollout", number=7)
    job.settle()
    assert counted(job) == (2, 2)
    fail(job, "trainer")
    assert job.settle().condition("Failed")["reason"] == "BackoffLimitExceeded"


def test_a_trainer_pod_that_is_replaced_takes_over_the_count() -> None:
    job = running()
    name = fail(job, "trainer")
    job.settle()
    del job.pods[name]
    job.settle()
    assert counted(job) == (1, 1)
    fail(job, "trainer")
    job.settle()
    assert counted(job) == (2, 2)


def test_a_rollout_pod_that_is_lost_moves_nothing_else() -> None:
    job = running()
    before = copy.deepcopy(job.children)
    fail(job, "rollout", 137)
    job.settle()
    assert job.children == before
    assert counted(job) == (0, 0)
    assert job.condition("RolloutReady")["status"] == "True"
    assert job.status["phase"] == "Running"


def test_a_trainer_pod_that_is_lost_holds_the_rollouts() -> None:
    job = running()
    before = copy.deepcopy(job.children)
    rollouts = {name: job.pods[name] for name in job.role("rollout")}
    name = fail(job, "trainer")
    job.settle()
    assert job.children == before
    assert {name: job.pods[name] for name in job.role("rollout")} == rollouts
    assert job.status["phase"] == "Starting"
    # It is the kubelet that starts the container again, in place.
    assert name in job.pods


RULES = [
    ({"role": "trainer", "exitCodes": [7], "action": "FailJob"}, "trainer", 7, "Failed", 0),
    ({"role": "trainer", "exitCodes": [7], "action": "Ignore"}, "trainer", 7, "Starting", 0),
    ({"role": "trainer", "exitCodes": [7], "action": "FailJob"}, "trainer", 8, "Starting", 1),
    ({"role": "trainer", "exitCodes": [7], "action": "FailJob"}, "buffer", 7, "Running", 1),
    ({"exitCodes": [7], "action": "FailJob"}, "buffer", 7, "Failed", 0),
    ({"role": "rollout", "exitCodes": [7], "action": "Restart"}, "rollout", 7, "Running", 1),
    ({"exitCodes": [7], "action": "Ignore"}, "buffer", 64, "Failed", 0),
]


@pytest.mark.parametrize(("rule", "role", "code", "phase", "restarts"), RULES)
def test_failure_rules_come_first(
    rule: dict[str, Any], role: str, code: int, phase: str, restarts: int
) -> None:
    job = running(runPolicy={"failure": [rule]})
    fail(job, role, code)
    job.settle()
    assert job.status["phase"] == phase
    assert job.status["restarts"] == restarts


def test_the_first_rule_that_fits_counts() -> None:
    rules = [
        {"exitCodes": [7], "action": "Ignore"},
        {"role": "trainer", "exitCodes": [7], "action": "FailJob"},
    ]
    job = running(runPolicy={"failure": rules})
    fail(job, "trainer", 7)
    assert job.settle().status["phase"] == "Starting"


@pytest.mark.parametrize("code", [0, 143])
def test_a_pod_that_was_asked_to_go_has_not_failed(code: int) -> None:
    job = running()
    name = fail(job, "trainer", code)
    job.pods[name] = replace(job.pods[name], deleting=True)
    job.settle()
    assert counted(job) == (0, 0)


def test_a_job_that_is_suspended_while_it_fails_goes_on_afterwards() -> None:
    job = running(runPolicy={"backoffLimit": 1})
    fail_and_come_back(job, "trainer")
    job.change(suspend=True)
    fail(job, "trainer")
    job.settle()
    assert job.status["phase"] == "Suspended"
    job.change(suspend=False).settle()
    assert job.status["phase"] == "Starting" or job.status["phase"] == "Running"
    assert counted(job) == (1, 1)


def test_a_failure_without_a_time_is_known_by_the_number_of_restarts() -> None:
    job = running()

    def ended(pod: Pod, at: datetime | None) -> Pod:
        assert pod.termination is not None
        return replace(pod, termination=replace(pod.termination, at=at))

    for number in range(2):
        name = fail(job, "trainer")
        job.pods[name] = ended(job.pods[name], None)
        job.settle()
        assert counted(job) == (number + 1, number + 1)
