"""How a job is suspended and deleted."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rljob_operator.action import Delete, Finalizer, Scale
from rljob_operator.observed import Child, Denial, Observed, Ref
from rljob_operator.reconcile import reconcile
from rljob_operator.state import WORKLOADS
from tests.operator_.simulation import START, Simulation, a_job, a_pod, running


@pytest.mark.parametrize("how", ["suspended", "deleted"])
def test_the_rollouts_rest_before_the_trainer_and_the_buffer_last(how: str) -> None:
    job = running()
    job = job.change(suspend=True) if how == "suspended" else job.delete()
    order = []
    for _ in range(5):
        if job.manifest is not None:
            job.look()
        order.append(tuple(job.replicas(role) for role in ("rollout", "trainer", "buffer")))
    assert list(dict.fromkeys(order)) == [(0, 1, 1), (0, 0, 1), (0, 0, 0)]


@pytest.mark.parametrize("spec", [None, {}, {"schedule": 3}])
def test_a_job_that_is_deleted_with_a_bad_spec_is_drained_all_the_same(spec: Any) -> None:
    job = running()
    assert job.manifest is not None
    job.manifest["spec"] = spec
    job.settle().delete().look()
    assert (job.replicas("rollout"), job.replicas("trainer")) == (0, 1)
    assert job.settle().manifest is None


def test_a_job_that_never_ran_goes_at_once() -> None:
    job = Simulation(a_job(schedule={"rollouts": -1})).settle()
    assert job.manifest is not None
    assert not job.manifest["metadata"].get("finalizers")
    assert job.delete().look().actions == ()
    assert Simulation(a_job()).delete().look().actions == ()


def test_deletion_drains_and_lets_go() -> None:
    job = running()
    job.delete().look()
    assert job.manifest is not None
    assert job.replicas("rollout") == 0
    assert job.replicas("trainer") == 1
    job.settle()
    assert job.manifest is None


def test_deletion_waits_for_a_pod_that_hangs_but_not_for_ever() -> None:
    job = running().delete()
    job.lazy = True
    job.look()
    for name in job.role("rollout"):
        going = replace(job.pods[name], deleting=True, gone_by=job.now + timedelta(seconds=120))
        job.pods[name] = going
    decision = job.look()
    assert (decision.actions, decision.requeue) == ((), timedelta(seconds=180))
    # The node does not answer: the trainer saves, its GPUs and then the job itself become free.
    job.wait(180).look()
    assert job.replicas("trainer") == 0
    del job.pods["job-trainer-0"], job.pods["job-buffer-0"]
    for name in job.role("router"):
        del job.pods[name]
    job.look()
    decision = job.look()
    assert decision.actions == (Finalizer(False),)
    assert "job-rollout-" in decision.events[0].message
    assert job.manifest is None


def test_pods_that_nobody_owns_any_more_are_ended() -> None:
    """Someone deleted the workload and left its pods."""
    job = running()
    job.lazy = True
    del job.children[Ref("Deployment", "job-rollout")]
    left = job.role("rollout")
    decision = job.change(suspend=True).look()
    ended = [action.ref for action in decision.actions if isinstance(action, Delete)]
    assert ended == [Ref("Pod", name) for name in left]
    job.lazy = False
    assert job.settle().pods == {}


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
    assert suspended.replicas("trainer") == suspended.replicas("buffer") == 0
    assert suspended.status["phase"] == "Suspended"
    assert evicted().delete().settle().manifest is None


def test_pods_of_others_are_not_waited_for() -> None:
    """One has the job's label and no role; a Deployment is not the job's own."""
    job = running()
    job.pods["mine"] = a_pod("driver", "mine")
    theirs = Ref("Deployment", "job-rollout")
    job.children[theirs] = replace(job.children[theirs], owned=False, owner="Release mine")
    decision = job.settle().delete().look()
    assert theirs not in [getattr(action, "ref", None) for action in decision.actions]
    assert job.settle().manifest is None
    assert isinstance(job.children[theirs], Child)
    assert len(job.role("rollout")) == 2


def scale_is_denied(job: Simulation, *verbs: str) -> Observed:
    """The server says no to a stop of the rollout."""
    rollout = Ref("Deployment", "job-rollout")
    denials = tuple(Denial(verb, rollout, "replicas are fixed") for verb in verbs)
    return replace(job.observed, denials=denials)


def test_a_role_that_must_not_be_stopped_does_not_hold_up_the_others() -> None:
    job = running().change(suspend=True)
    decision = reconcile(scale_is_denied(job, "scale"), START)
    stopped = [each.ref.name for each in decision.actions if isinstance(each, Scale)]
    assert stopped == ["job-rollout", "job-trainer"]
    assert decision.status is not None
    assert (decision.status["phase"], decision.status["reason"]) == ("Suspended", "Forbidden")
    assert [event.reason for event in decision.events if event.type == "Warning"] == ["Forbidden"]


def test_a_workload_that_must_not_be_scaled_down_is_deleted_with_its_job() -> None:
    job = running().delete()
    decision = reconcile(scale_is_denied(job, "scale"), START)
    rollout = job.children[Ref("Deployment", "job-rollout")]
    assert decision.actions == (
        Scale(rollout.ref, rollout.uid, 0),
        Delete(rollout.ref, rollout.uid),
    )
    assert [event.reason for event in decision.events] == ["Forbidden"]
    # Nor must it be deleted: the trainer is next.
    decision = reconcile(scale_is_denied(job, "scale", "delete"), START)
    assert Ref("StatefulSet", "job-trainer") in {
        each.ref for each in decision.actions if isinstance(each, Scale)
    }


def test_a_job_goes_though_nothing_of_it_may_be_stopped() -> None:
    job = running().delete()
    denials = tuple(
        Denial(verb, ref, "no")
        for ref in job.children
        if ref.kind in WORKLOADS.values()
        for verb in ("scale", "delete")
    )
    decision = reconcile(replace(job.observed, denials=denials), START)
    assert decision.actions == (Finalizer(False),)
