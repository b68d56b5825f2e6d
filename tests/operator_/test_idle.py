"""Which jobs are reconciled again without a change: only those that depend on time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.operator_.simulation import FINISHED, RUNNING, Simulation, a_job, failed, running


def pending() -> Simulation:
    job = Simulation(a_job())
    job.lazy = True
    return job.settle()


def starting() -> Simulation:
    return Simulation(a_job()).settle()


def ended(**report: Any) -> Simulation:
    job = running()
    job.report = {**FINISHED, **report}
    return job.settle()


def fails() -> Simulation:
    job = running()
    job.pods["job-trainer-0"] = failed(job.pods["job-trainer-0"], 64)
    return job.settle()


def restarting() -> Simulation:
    job = running()
    job.pods["job-trainer-0"] = failed(job.pods["job-trainer-0"], 1)
    return job.settle()


def draining() -> Simulation:
    job = running().delete()
    job.lazy = True
    job.look()
    return job


RESTS: dict[str, Callable[[], Simulation]] = {
    "pending": pending,
    "starting": starting,
    "running": running,
    "restarting": restarting,
    "external": lambda: running(rollout={"replicas": 2, "autoscaling": {"mode": "External"}}),
    "by rate without a report": lambda: Simulation(
        a_job(rollout={"replicas": 2, "autoscaling": {"mode": "Rate"}})
    ).settle(),
    "suspended": lambda: running().change(suspend=True).settle(),
    "suspended with a deadline": lambda: running(
        suspend=True, runPolicy={"activeDeadlineSeconds": 9}
    ),
    "refused": lambda: Simulation(a_job(schedule={"rollouts": -1})).settle(),
    "refused while it runs": lambda: running().change(schedule={"rollouts": -1}).settle(),
    "succeeded": ended,
    "failed": fails,
    "draining": draining,
    "of another controller": lambda: Simulation(a_job(managedBy="example.com/mine")).settle(),
}


@pytest.mark.parametrize("state", RESTS)
def test_time_alone_does_nothing(state: str) -> None:
    job = RESTS[state]()
    before = dict(job.status)
    decision = job.look()
    assert decision.requeue is None
    decision = job.wait(86400).look()
    assert (decision.actions, decision.events, decision.requeue) == ((), (), None)
    assert job.status == before


def test_a_deadline_is_waited_for() -> None:
    job = running(runPolicy={"activeDeadlineSeconds": 100})
    assert job.wait(30).look().requeue == timedelta(seconds=70)


def test_a_time_to_live_is_waited_for() -> None:
    job = running(runPolicy={"ttlSecondsAfterFinished": 100})
    job.report = dict(FINISHED)
    assert job.settle().wait(30).look().requeue == timedelta(seconds=70)


def test_windows_of_autoscaling_are_waited_for() -> None:
    job = running(rollout={"replicas": 2, "autoscaling": {"mode": "Rate", "maxReplicas": 4}})
    assert job.look().requeue == timedelta(seconds=15)


def test_the_end_of_a_pods_time_is_waited_for() -> None:
    job = running().change(suspend=True)
    job.lazy = True
    job.look()
    name = job.role("rollout")[0]
    job.pods[name] = replace(job.pods[name], deleting=True, gone_by=job.now + timedelta(seconds=30))
    assert job.look().requeue == timedelta(seconds=90)


def test_a_report_that_says_the_same_changes_nothing() -> None:
    job = running()
    before = dict(job.status)
    job.report = {**RUNNING, "seconds": 17.5}
    decision = job.wait(5).look()
    assert (decision.actions, decision.events) == ((), ())
    assert job.status == before
