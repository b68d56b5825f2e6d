"""The life of a job under reconcile."""

import copy
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rljob_operator import names
from rljob_operator.observed import Ref
from rljob_operator.reconcile import reconcile
from tests.operator_.simulation import FINISHED, RUNNING, START, Simulation, a_job, failed, running

ROLES = ("trainer", "rollout", "buffer", "router")


def wanted(job: Simulation) -> dict[str, int]:
    return {role: job.replicas(role) for role in ROLES}


def test_a_job_gets_its_children_and_runs() -> None:
    job = running()
    assert wanted(job) == {"trainer": 1, "rollout": 2, "buffer": 1, "router": 1}
    assert job.status["phase"] == "Running"
    assert job.status["progress"]["display"] == "3/10"
    assert job.status["buffer"] == {"admitted": 7, "leased": 2, "ready": 1}
    assert job.condition("Accepted")["status"] == "True"
    assert job.condition("WeightsInSync")["reason"] == "InSync"
    assert job.manifest and job.manifest["metadata"]["finalizers"] == [names.FINALIZER]


def test_its_phases() -> None:
    job = Simulation(a_job())
    job.lazy = True
    job.settle()
    assert job.status["phase"] == "Pending"
    job.lazy = False
    job.settle()
    assert job.status["phase"] == "Starting"
    job.report = {**RUNNING, "phase": "starting"}
    assert job.settle().status["phase"] == "Starting"
    job.report = {**RUNNING, "phase": "evaluating"}
    assert job.settle().status["phase"] == "Running"


def test_an_operator_that_has_just_begun_changes_nothing() -> None:
    """It has read no trainer yet."""
    job = running()
    before = copy.deepcopy(job.status)
    job.report = None
    decision = job.wait(60).look()
    assert (decision.actions, decision.events, job.status) == ((), (), before)


@pytest.mark.parametrize("manager", ["kueue.x-k8s.io/multikueue", "example.com/mine"])
def test_a_job_of_another_controller_is_left_alone(manager: str) -> None:
    job = Simulation(a_job(managedBy=manager))
    assert job.look() == reconcile(job.observed, START)
    assert job.children == {}
    assert job.status == {}
    # What was made before it was handed over goes with it.
    assert running().change(managedBy=manager).delete().settle().manifest is None


def test_success_is_recorded_before_anything_is_released() -> None:
    job = running()
    job.report = dict(FINISHED)
    job.look()
    assert job.status["phase"] == "Succeeded"
    assert wanted(job)["trainer"] == 1
    job.settle()
    assert set(wanted(job).values()) == {0}
    assert not job.pods
    assert job.status["progress"]["display"] == "10/10"
    assert job.told().count("Succeeded") == 1


@pytest.mark.parametrize("what", ["suspend", "deadline", "usage"])
def test_a_run_that_has_reached_its_end_has_succeeded_whatever_else_happens(what: str) -> None:
    job = running(runPolicy={"activeDeadlineSeconds": 100})
    job.report = dict(FINISHED)
    match what:
        case "suspend":
            job.change(suspend=True)
        case "deadline":
            job.wait(101)
        case "usage":
            name = job.role("rollout")[0]
            job.pods[name] = failed(job.pods[name], 64)
    assert job.settle().status["phase"] == "Succeeded"


def test_a_trainer_that_was_lost_before_its_end_was_recorded_tells_it_again() -> None:
    job = running()
    job.report = dict(FINISHED)
    name = job.role("trainer")[0]
    job.pods[name] = replace(job.pods[name], ready=False)
    assert job.settle().status["phase"] == "Starting"
    job.pods[name] = replace(job.pods[name], ready=True)
    assert job.settle().status["phase"] == "Succeeded"


def test_more_rollouts_than_the_old_trainer_knew_of_are_waited_for() -> None:
    job = running().change(schedule={"rollouts": 20})
    job.report = dict(FINISHED)
    assert job.settle().status["phase"] == "Running"
    job.report = {**FINISHED, "rollout": 20, "rollouts": 20}
    assert job.settle().status["phase"] == "Succeeded"


def test_a_job_that_only_evaluates_runs_and_succeeds() -> None:
    evaluation = [{"name": "aime", "prompts": "/data/aime.jsonl"}]
    job = Simulation(a_job(schedule={"rollouts": 0}, evaluation=evaluation)).settle()
    report = {**RUNNING, "phase": "evaluating", "rollout": 0, "rollouts": 0}
    del report["reward"]
    job.report = report
    assert job.settle().status["phase"] == "Running"
    assert job.status["progress"]["display"] == "0/0"
    job.report = {**report, "phase": "finished"}
    assert job.settle().status["phase"] == "Succeeded"
    said = "evaluated; there was no rollout batch to train on"
    assert job.condition("Succeeded")["message"] == said


def test_suspended_pods_go_and_come_back() -> None:
    job = running()
    before = wanted(job)
    job.wait(100).change(suspend=True).settle()
    assert job.status["phase"] == "Suspended"
    assert set(wanted(job).values()) == {0}
    assert Ref("PersistentVolumeClaim", "job-run") in job.children
    assert job.status["activeSeconds"] == 100
    job.wait(1000).change(suspend=False).settle()
    assert wanted(job) == before
    assert job.condition("Suspended")["status"] == "False"


def test_a_job_that_was_created_suspended_gets_no_pods() -> None:
    job = Simulation(a_job(suspend=True)).settle()
    assert not job.pods
    assert job.children == {}
    assert job.status["phase"] == "Suspended"
    assert wanted(job.change(suspend=False).settle())["trainer"] == 1


def test_a_change_while_suspended_counts_when_it_goes_on() -> None:
    job = running()
    before = job.children[Ref("StatefulSet", "job-trainer")]
    job.change(suspend=True).settle().change(schedule={"rollouts": 11}).settle()
    assert job.children[Ref("StatefulSet", "job-trainer")].applied == before.applied
    job.change(suspend=False).settle()
    assert job.children[Ref("StatefulSet", "job-trainer")].applied != before.applied


@pytest.mark.parametrize("how", ["Failed", "Succeeded"])
def test_an_end_is_final(how: str) -> None:
    job = running()
    if how == "Succeeded":
        job.report = dict(FINISHED)
    else:
        name = job.role("trainer")[0]
        job.pods[name] = failed(job.pods[name], 64, "no such file")
    job.settle()
    job.change(schedule={"rollouts": 99}, suspend=True).settle()
    job.change(suspend=False).settle()
    assert job.status["phase"] == how
    assert job.alive == []
    assert job.status["observedGeneration"] == 3
    assert job.delete().settle().manifest is None


def test_a_bad_change_leaves_the_job_as_it_runs_and_a_good_one_mends_it() -> None:
    job = running()
    before = copy.deepcopy(job.children)
    job.change(schedule={"rollouts": -1}).settle()
    assert job.condition("Accepted")["status"] == "False"
    assert job.status["phase"] == "Running"
    assert job.children == before
    assert job.report is not None
    job.report["rollout"] = 4
    assert job.settle().status["progress"]["display"] == "4/10"
    job.change(schedule={"rollouts": 10}).settle()
    assert job.condition("Accepted")["status"] == "True"
    assert job.children == before


def test_a_job_with_a_bad_change_still_ends() -> None:
    job = running().change(schedule={"rollouts": -1}).settle()
    job.report = dict(FINISHED)
    job.settle()
    assert job.status["phase"] == "Succeeded"
    assert not job.pods


def test_a_bad_change_of_a_job_on_its_way_to_rest_does_not_keep_it_from_rest() -> None:
    job = running().change(suspend=True)
    job.look()
    assert job.replicas("trainer") == 1
    job.change(schedule={"rollouts": -1}).settle()
    assert not job.pods
    assert job.status["phase"] == "Suspended"


def test_pods_of_an_earlier_job_of_this_name_mean_nothing() -> None:
    job = Simulation(a_job())
    assert job.manifest is not None
    job.manifest["metadata"]["creationTimestamp"] = (START + timedelta(days=1)).isoformat()
    earlier = running()
    job.pods = {
        name: failed(pod, 64) if pod.role == "rollout" else pod
        for name, pod in earlier.pods.items()
    }
    job.lazy = True
    job.report = dict(FINISHED)
    job.settle()
    assert job.status["phase"] == "Pending"


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *("suspend", "resume", "scale", "report", "finish", "fail", "usage", "lose"),
                *("wait", "bad", "trainer image", "router", "unready"),
            ]
        ),
        max_size=8,
    )
)
def test_whatever_happens_it_comes_to_rest(steps: list[str]) -> None:
    """And ends are final, and no more runs than is wanted, and time alone changes nothing."""
    job = Simulation(a_job()).settle()
    ended = ""
    for step in steps:
        job.wait(7)
        _happen(job, step)
        job.settle()
        phase = job.status["phase"]
        if ended:
            assert phase == ended
        if phase in ("Succeeded", "Failed"):
            ended = phase
            assert job.alive == []
        assert job.replicas("rollout") <= 3
        assert job.replicas("trainer") <= 1
        before = copy.deepcopy(job.status)
        decision = job.wait(3600).look()
        assert (decision.actions, decision.requeue, job.status) == ((), None, before)


def _happen(job: Simulation, step: str) -> None:
    trainers = job.role("trainer")
    match step:
        case "suspend":
            job.change(suspend=True)
        case "resume":
            job.change(suspend=False)
        case "scale":
            job.change(rollout={"replicas": 3})
        case "trainer image":
            job.change(trainer={"image": f"trainer:{job.now:%H%M%S}"})
        case "router":
            job.change(rollout={"replicas": 2})
        case "bad":
            job.change(rollout={"replicas": 0}).settle().change(rollout={"replicas": 2})
        case "report":
            job.report = dict(RUNNING) if trainers else None
        case "finish" if trainers:
            job.report = dict(FINISHED)
        case "fail" | "usage" if trainers:
            code = 64 if step == "usage" else 1
            job.pods[trainers[0]] = failed(job.pods[trainers[0]], code, "why", job.now)
        case "unready" if trainers:
            job.pods[trainers[0]] = replace(job.pods[trainers[0]], ready=False)
        case "lose" if job.pods:
            del job.pods[min(job.pods)]
