"""Where the number of rollout replicas comes from, and what happens before it falls."""

from typing import Any

import pytest

from rljob.api.review import review
from rljob_operator.action import Annotate, Apply, Decision
from rljob_operator.names import ANNOTATION_DELETION_COST
from rljob_operator.policies.replicas import rollout_replicas
from rljob_operator.state import look, with_job
from tests.operator_.simulation import Simulation, a_job

NUMBERS = {
    "phase": "running",
    "rollout": 3,
    "rollouts": 10,
    "weight_version": 3,
    "held_share": 0.0,
    "window_seconds": 60,
    "window_tokens_per_second": 1000,
}


def running(mode: str, replicas: int = 4, **autoscaling: Any) -> Simulation:
    """A job under way whose engines all have work."""
    job = Simulation(a_job(rollout=rollout(mode, replicas, **autoscaling))).settle()
    return report(job, wait_share=0.0)


def rollout(mode: str, replicas: int, **autoscaling: Any) -> dict[str, Any]:
    spec = {"mode": mode, "maxReplicas": 8} if mode != "Off" else {"mode": mode}
    return {"replicas": replicas, "autoscaling": spec | autoscaling}


def report(job: Simulation, seconds: float = 0, **numbers: Any) -> Simulation:
    """The trainer tells these numbers, for so many seconds."""
    for _ in range(int(seconds // 15) + 1):
        engines = {"engines": job.replicas("rollout")} if job.report is None else {}
        job.report = {**NUMBERS, **(job.report or {}), **engines, **numbers}
        job.wait(15 if seconds else 0).look()
    return job


@pytest.mark.parametrize("mode", ["Off", "External"])
def test_the_number_is_the_specs_whatever_the_trainer_tells(mode: str) -> None:
    job = report(running(mode), 900, wait_share=0.9)
    assert job.replicas("rollout") == 4
    assert job.status["rollout"]["desired"] == 4
    assert job.status["rollout"]["autoscaling"] == {}
    # As an HPA does on the scale subresource.
    job.change(rollout=rollout(mode, 6)).settle()
    assert job.replicas("rollout") == 6


def test_by_rate_the_number_is_kept_in_the_status() -> None:
    job = report(running("Rate"), 300, wait_share=0.5, engines=4)
    assert job.replicas("rollout") == 8
    assert job.status["rollout"]["desired"] == 8
    assert job.manifest and job.manifest["spec"]["rollout"]["replicas"] == 4
    assert job.status["rollout"]["autoscaling"]["change"]["after"] == 8
    # Neither an operator without a report nor a change of the first number moves it.
    job.report = None
    job.change(rollout=rollout("Rate", 5)).settle()
    assert job.replicas("rollout") == 8
    job.change(rollout=rollout("Off", 5)).settle()
    assert job.replicas("rollout") == 5


def test_a_change_is_told() -> None:
    job = report(running("Rate"), 300, wait_share=0.5, engines=4)
    (said,) = [event.message for event in job.events if "4 -> 8" in event.message]
    why = "trainer waits 50% of the time, rollouts are held back 0%"
    assert said == f"rollout replicas 4 -> 8: {why}"


def test_pods_are_marked_before_the_number_falls() -> None:
    job = running("External")
    pods = sorted(name for name in job.pods if "rollout" in name)
    job.report = {**(job.report or {}), "engine_load": dict(zip(pods, (5, 0, 7, 2), strict=True))}
    job.change(rollout=rollout("External", 2))
    decision = job.look()
    marks = [at for at, each in enumerate(decision.actions) if isinstance(each, Annotate)]
    (lowers,) = lowering(decision, 2)
    assert [decision.actions[at] for at in marks] == [
        Annotate(pods[1], {ANNOTATION_DELETION_COST: "-1"}),
        Annotate(pods[3], {ANNOTATION_DELETION_COST: "-1"}),
    ]
    assert max(marks) < lowers


def test_nothing_is_marked_while_the_number_stands_or_grows() -> None:
    job = running("External")
    assert not any(isinstance(each, Annotate) for each in job.look().actions)
    job.change(rollout=rollout("External", 8))
    assert not any(isinstance(each, Annotate) for each in job.look().actions)


def test_a_gang_never_has_fewer_than_it_starts_with() -> None:
    manifest = a_job(rollout=rollout("Rate", 4, minReplicas=3), gang={"scheduler": "volcano"})
    job = Simulation(manifest).settle()
    report(report(job, wait_share=0.0), 900, held_share=0.9)
    assert job.replicas("rollout") == 3


def test_a_job_that_was_never_looked_at_begins_with_the_specs_number() -> None:
    job = Simulation(a_job(rollout=rollout("Rate", 4)))
    manifest = job.observed.manifest
    spec, _ = review(manifest)
    assert spec is not None
    found = rollout_replicas(with_job(look(job.observed, job.now), spec))
    assert (found.replicas, found.actions) == (4, ())


def lowering(decision: Decision, replicas: int) -> list[int]:
    """Where the rollout Deployment is brought to so many replicas."""
    return [
        at
        for at, each in enumerate(decision.actions)
        if isinstance(each, Apply)
        and each.ref.kind == "Deployment"
        and each.ref.name == "job-rollout"
        and each.manifest["spec"]["replicas"] == replicas
    ]
