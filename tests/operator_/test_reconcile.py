"""The life of a job, as reconcile leads it."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rljob_operator import names
from rljob_operator.observed import Observed, Ref
from rljob_operator.reconcile import reconcile
from tests.operator_.simulation import CLUSTER, START, Simulation, a_job, a_pod, failed

RUNNING = {"phase": "running", "rollout": 3, "rollouts": 10, "reward": 0.5, "engines": 2}
FINISHED = {"phase": "finished", "rollout": 10, "rollouts": 10, "reward": 0.96}
ROLES = ("trainer", "rollout", "buffer", "router")


def running(**spec: Any) -> Simulation:
    """A job under way."""
    job = Simulation(a_job(**spec)).settle()
    job.report = {**RUNNING, "weight_version": 3, "waiting": 4, "leased": 2, "ready": 1}
    return job.settle()


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


def test_a_job_of_another_controller_is_left_alone() -> None:
    job = Simulation(a_job(managedBy="kueue.x-k8s.io/multikueue"))
    assert job.look() == reconcile(job.observed, START)
    assert job.children == {}
    assert job.status == {}


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        ({"schedule": {"rollouts": 0}}, "Invalid", "spec.schedule.rollouts: found 0, allowed"),
        ({"model": {"checkpoint": "tiny"}}, "Invalid", "spec.model.checkpoint: found"),
        ({"algorithm": {"estimator": "gspo"}}, "Unsupported", "spec.algorithm.estimator"),
    ],
)
def test_a_job_that_cannot_run_says_why(spec: dict[str, Any], reason: str, message: str) -> None:
    job = Simulation(a_job(**spec)).settle()
    accepted = job.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", reason)
    assert message in accepted["message"]
    assert job.children == {}


def test_a_bad_change_leaves_the_job_as_it_runs_and_a_good_one_mends_it() -> None:
    job = running()
    before = copy.deepcopy(job.children)
    job.change(schedule={"rollouts": -1}).settle()
    assert job.condition("Accepted")["status"] == "False"
    assert job.children == before
    job.change(schedule={"rollouts": 10}).settle()
    assert job.condition("Accepted")["status"] == "True"
    assert job.children == before


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
    assert [event.reason for event in job.events if event.reason == "Succeeded"] == ["Succeeded"]


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


def test_the_rollouts_rest_before_the_trainer_and_the_buffer_last() -> None:
    job = running().change(suspend=True)
    order = []
    for _ in range(6):
        job.look()
        order.append(tuple(wanted(job)[role] for role in ("rollout", "trainer", "buffer")))
    assert list(dict.fromkeys(order)) == [(0, 1, 1), (0, 0, 1), (0, 0, 0)]


def test_a_job_that_was_created_suspended_gets_no_pods() -> None:
    job = Simulation(a_job(suspend=True)).settle()
    assert not job.pods
    assert job.status["phase"] == "Suspended"


def test_exit_code_64_fails_the_job_with_its_message() -> None:
    job = running()
    name = next(name for name, pod in job.pods.items() if pod.role == "trainer")
    job.pods[name] = failed(job.pods[name], 64, "data: line 3 is no JSON")
    job.settle()
    assert job.status["phase"] == "Failed"
    assert "line 3 is no JSON" in job.condition("Failed")["message"]
    assert not job.pods


def test_failures_count_until_there_is_progress() -> None:
    job = running(runPolicy={"backoffLimit": 2})
    name = next(name for name, pod in job.pods.items() if pod.role == "trainer")
    for number in range(2):
        job.wait(10)
        job.pods[name] = failed(job.pods[name], 1, "boom", job.now)
        job.settle()
        assert job.status["failures"]["sinceProgress"] == number + 1
    assert job.status["restarts"] == 2
    assert job.report is not None
    job.report["rollout"] = 4
    job.pods[name] = replace(job.pods[name], ready=True)
    job.settle()
    assert job.status["failures"]["sinceProgress"] == 0
    for _ in range(3):
        job.wait(10)
        job.pods[name] = failed(job.pods[name], 1, "boom", job.now)
        job.settle(most=30)
        if name not in job.pods:
            break
    assert job.condition("Failed")["reason"] == "BackoffLimitExceeded"
    assert "boom" in job.condition("Failed")["message"]


@pytest.mark.parametrize(
    ("action", "phase", "restarts"), [("FailJob", "Failed", 0), ("Ignore", "Running", 0)]
)
def test_failure_rules_come_first(action: str, phase: str, restarts: int) -> None:
    rule = {"role": "trainer", "exitCodes": [7], "action": action}
    job = running(runPolicy={"failure": [rule]})
    name = next(name for name, pod in job.pods.items() if pod.role == "trainer")
    job.pods[name] = replace(failed(job.pods[name], 7), ready=True)
    job.settle()
    assert job.status["phase"] == phase
    assert job.status["restarts"] == restarts


def test_an_engine_that_is_lost_moves_nothing_else() -> None:
    job = running()
    before = copy.deepcopy(job.children)
    name = next(name for name, pod in job.pods.items() if pod.role == "rollout")
    job.pods[name] = failed(job.pods[name], 137)
    job.settle()
    assert job.children == before
    assert job.status["restarts"] == 0


def test_the_deadline_counts_active_time_only() -> None:
    job = running(runPolicy={"activeDeadlineSeconds": 100})
    job.wait(60).change(suspend=True).settle()
    job.wait(1000).change(suspend=False).settle()
    assert job.status["phase"] == "Running"
    job.wait(41).settle()
    assert job.condition("Failed")["reason"] == "DeadlineExceeded"


def test_the_time_to_live_ends_the_job() -> None:
    job = running(runPolicy={"ttlSecondsAfterFinished": 30})
    job.report = dict(FINISHED)
    job.settle()
    job.wait(29).settle()
    assert job.manifest is not None
    job.wait(2).settle()
    assert job.manifest is None


def test_deletion_drains_and_lets_go() -> None:
    job = running()
    job.delete().look()
    assert job.manifest is not None
    assert job.replicas("rollout") == 0
    assert job.replicas("trainer") == 1
    job.settle()
    assert job.manifest is None


def test_what_others_take_away_or_change_comes_back() -> None:
    job = running()
    before = copy.deepcopy(job.children)
    del job.children[Ref("Service", "job-trainer")]
    edited = Ref("Deployment", "job-rollout")
    job.children[edited] = replace(job.children[edited], replicas=9, foreign="2026-01-01T00:00:01Z")
    job.settle()
    assert job.children == before


def test_the_keys_go_along_with_what_needs_them() -> None:
    job = Simulation(a_job())
    actions = job.look().actions
    kinds = [getattr(action, "ref", Ref("", "")).kind for action in actions]
    assert kinds.index("Secret") < kinds.index("StatefulSet")
    job.settle()
    job.change(suspend=False)
    assert not [a for a in job.look().actions if getattr(a, "ref", None)]


STEPS = st.lists(
    st.sampled_from(
        ["suspend", "resume", "scale", "report", "finish", "fail", "usage", "lose", "wait", "bad"]
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_happens_it_comes_to_rest(steps: list[str]) -> None:
    """And ends are final, exit code 64 ends the job, and no more runs than is wanted."""
    job = Simulation(a_job()).settle()
    ended = ""
    for step in steps:
        job.wait(7)
        _happen(job, step)
        job.settle(most=40)
        phase = job.status["phase"]
        if ended:
            assert phase == ended
        if phase in ("Succeeded", "Failed"):
            ended = phase
            assert not job.pods
        assert job.replicas("rollout") <= 3
        assert job.replicas("trainer") <= 1


def _happen(job: Simulation, step: str) -> None:
    trainers = [name for name, pod in job.pods.items() if pod.role == "trainer"]
    match step:
        case "suspend":
            job.change(suspend=True)
        case "resume":
            job.change(suspend=False)
        case "scale":
            job.change(rollout={"replicas": 3})
        case "bad":
            job.change(rollout={"replicas": 0}).settle(most=40).change(rollout={"replicas": 2})
        case "report":
            job.report = dict(RUNNING) if trainers else None
        case "finish" if trainers:
            job.report = dict(FINISHED)
        case "fail" | "usage" if trainers:
            code = 64 if step == "usage" else 1
            job.pods[trainers[0]] = failed(job.pods[trainers[0]], code, "why", job.now)
        case "lose" if job.pods:
            del job.pods[min(job.pods)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = ("spec", "status", "model", "schedule", "rollout", "trainer", "conditions")


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(FIELDS), JSON)
def test_any_object_gives_a_decision(field: str, value: Any) -> None:
    manifest = a_job()
    place = manifest if field in ("spec", "status") else manifest["spec"]
    if field == "conditions":
        place = manifest.setdefault("status", {})
    place[field] = value
    first = reconcile(Observed(manifest, cluster=CLUSTER), START)
    assert first == reconcile(Observed(manifest, cluster=CLUSTER), START)


def evicted() -> Simulation:
    """A job of which a rollout pod was evicted and replaced; the old one stays as a record."""
    job = running()
    record = a_pod("rollout", "job-rollout-evicted", phase="Failed", ready=False, reason="Evicted")
    job.pods[record.name] = record
    return job.settle()


def test_an_evicted_pod_does_not_count() -> None:
    job = evicted()
    assert job.status["rollout"]["replicas"] == 2
    assert job.condition("RolloutReady")["message"] == "2 of 2 ready"


def test_an_evicted_pod_does_not_keep_a_job_from_rest() -> None:
    suspended = evicted().change(suspend=True).settle()
    assert wanted(suspended) == dict.fromkeys(ROLES, 0)
    assert suspended.status["phase"] == "Suspended"
    assert evicted().delete().settle().manifest is None
