"""Whether a job can run as it is written, on this cluster."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from rljob_operator import names
from rljob_operator.action import Apply
from rljob_operator.observed import Child, Ref, Refusal
from rljob_operator.reconcile import reconcile
from tests.operator_.simulation import START, Simulation, a_job, running

DEPLOYMENT = Ref("Deployment", "job-rollout")


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        ({"schedule": {"rollouts": 0}}, "Invalid", "spec.schedule.rollouts: found 0, allowed"),
        ({"model": {"checkpoint": "tiny"}}, "Invalid", "spec.model.checkpoint: found"),
        (
            {"model": {"checkpoint": "/models/tiny", "preset": "qwen3-4b"}},
            "Unsupported",
            "spec.model.preset: found",
        ),
        ({"gang": {"scheduler": "coscheduling"}}, "KindMissing", "scheduling.x-k8s.io"),
    ],
)
def test_a_job_that_cannot_run_says_why(spec: dict[str, Any], reason: str, message: str) -> None:
    job = Simulation(a_job(**spec)).settle()
    accepted = job.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", reason)
    assert message in accepted["message"]
    assert job.children == {}
    assert job.status["phase"] == "Pending"
    assert [(event.type, event.reason) for event in job.events] == [("Warning", reason)]


def test_all_problems_are_told_at_once() -> None:
    spec = {"schedule": {"rollouts": 0, "saveInterval": -1}}
    message = Simulation(a_job(**spec)).settle().condition("Accepted")["message"]
    assert len(message.splitlines()) == 2


def test_a_capability_beyond_the_restricted_standard_is_told() -> None:
    job = Simulation(a_job(network={"rdma": {"resource": "rdma/hca"}})).settle()
    accepted = job.condition("Accepted")
    assert accepted["status"] == "True"
    assert "IPC_LOCK" in accepted["message"]


def test_what_the_algorithm_does_not_correct_is_told_once_and_until_it_is_mended() -> None:
    schedule = {"rollouts": 10, "maxStaleness": 3}
    job = Simulation(a_job(schedule=schedule)).settle()
    accepted = job.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "Valid")
    assert accepted["message"].startswith("spec.schedule.maxStaleness: warning: found 3: ")
    assert len(accepted["message"].splitlines()) == 1
    cautions = [event for event in job.events if event.reason == "Caution"]
    assert [(event.type, event.message) for event in cautions] == [("Warning", accepted["message"])]
    assert job.status["phase"] == "Starting"
    job.told()
    job.wait(600).settle()
    job.change(algorithm={"mismatch": {"correction": "tis"}}).settle()
    assert job.condition("Accepted")["message"] == ""
    assert "Caution" not in job.told()


def test_a_change_of_the_spec_that_needs_care_is_told() -> None:
    job = running()
    job.told()
    job.change(rollout={"replicas": 2, "sampling": {"topP": 0.9}}).settle()
    assert "spec.rollout.sampling.topP" in job.condition("Accepted")["message"]
    assert "Caution" in job.told()


def foreign(owner: str = "", **changes: Any) -> Child:
    child = Child(DEPLOYMENT, "uid-theirs", owned=False, deleting=False, applied="", owner=owner)
    return replace(child, **changes)


@pytest.mark.parametrize("owner", ["", "Release mine", "RLJob another"])
def test_a_name_that_is_taken_holds_the_job(owner: str) -> None:
    job = Simulation(a_job())
    job.children[DEPLOYMENT] = foreign(owner)
    job.settle()
    accepted = job.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "NameTaken")
    assert "Deployment job-rollout" in accepted["message"]
    assert list(job.children) == [DEPLOYMENT]
    del job.children[DEPLOYMENT]
    assert job.settle().status["phase"] == "Starting"


@pytest.mark.parametrize("child", [foreign("RLJob job"), foreign(deleting=True)])
def test_what_an_earlier_job_of_this_name_left_goes_by_itself(child: Child) -> None:
    job = Simulation(a_job())
    job.children[DEPLOYMENT] = child
    job.settle()
    assert job.condition("Accepted")["status"] == "True"
    assert job.children[DEPLOYMENT] == child
    del job.children[DEPLOYMENT]
    assert job.settle().replicas("rollout") == 2


def test_a_child_that_is_taken_away_from_a_job_that_runs_leaves_the_rest_as_it_is() -> None:
    job = running()
    job.children[DEPLOYMENT] = replace(job.children[DEPLOYMENT], owned=False)
    del job.children[Ref("Service", "job-trainer")]
    decision = job.settle().look()
    assert decision.actions == ()
    assert job.condition("Accepted")["reason"] == "NameTaken"
    assert job.status["phase"] == "Running"


def test_what_the_api_server_refuses_is_told_and_leaves_the_job_as_it_runs() -> None:
    job = running()
    before = copy.deepcopy(job.children)
    job.change(rollout={"replicas": 2, "template": {"spec": {"terminationGracePeriodSeconds": -1}}})
    tried = next(
        action
        for action in reconcile(job.observed, START).actions
        if isinstance(action, Apply) and action.ref == DEPLOYMENT
    )
    assert tried.on_trial
    applied = tried.manifest["metadata"]["annotations"][names.ANNOTATION_APPLIED]
    refused = {DEPLOYMENT: Refusal(applied, "must be greater than or equal to 0")}
    decision = job.look_at(replace(job.observed, refused=refused))
    accepted = job.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "Invalid")
    assert accepted["message"] == (
        "spec.rollout.template: the API server refuses Deployment job-rollout: "
        "must be greater than or equal to 0"
    )
    assert job.status["phase"] == "Running"
    assert [action.ref for action in decision.actions if isinstance(action, Apply)] == [DEPLOYMENT]
    assert decision.requeue is not None
    # A mended spec is not held up by what was refused before.
    job.children = before
    job.change(rollout={"replicas": 2})
    job.look_at(replace(job.observed, refused=refused))
    assert job.condition("Accepted")["status"] == "True"


def test_a_name_that_was_found_taken_is_tried_again() -> None:
    """Objects without the job's label are not watched."""
    observed = replace(Simulation(a_job()).observed, taken=frozenset({DEPLOYMENT}))
    job = Simulation(a_job())
    decision = job.look_at(observed)
    assert job.condition("Accepted")["reason"] == "NameTaken"
    (tried,) = decision.actions
    assert isinstance(tried, Apply)
    assert (tried.ref, tried.uid) == (DEPLOYMENT, "")
    assert decision.requeue is not None
