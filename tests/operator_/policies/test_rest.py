"""How a job is suspended and deleted."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rljob_operator.action import Delete, Finalizer
from rljob_operator.observed import Child, Ref
from tests.operator_.simulation import Simulation, a_job, a_pod, running


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
