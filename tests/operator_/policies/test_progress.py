"""The trainer's progress."""

from typing import Any

import pytest

from tests.operator_.simulation import RUNNING, Simulation, a_job, running


def test_numbers_of_the_report() -> None:
    job = running()
    job.report = {**RUNNING, "eta_seconds": 70, "epoch": 4, "engines": 1, "reward": None}
    job.settle()
    assert job.status["progress"] == {
        "rollout": 3,
        "rollouts": 10,
        "display": "3/10",
        "etaSeconds": 70,
    }
    assert job.status["weights"] == {"version": 3, "epoch": 4, "members": 1, "lagging": 1}
    assert job.status["buffer"] == {"admitted": 7, "leased": 2, "ready": 1}


def test_a_job_that_has_told_nothing_shows_what_is_wanted() -> None:
    job = Simulation(a_job()).settle()
    assert job.status["progress"] == {"rollout": 0, "rollouts": 10, "display": "0/10"}


def test_what_was_reached_stays_while_the_trainer_is_away() -> None:
    job = running()
    job.report = None
    job.change(schedule={"rollouts": 20}).settle()
    assert job.status["progress"]["display"] == "3/20"
    job.change(suspend=True).settle()
    assert job.status["progress"]["display"] == "3/20"


@pytest.mark.parametrize(
    "value", [None, True, "7", -1, 2**31, 10**400, 1.5, float("inf"), float("nan"), [], {}]
)
def test_a_number_that_is_none_costs_no_pass(value: Any) -> None:
    job = running()
    job.report = {**dict.fromkeys(RUNNING, value), "phase": "running", "eta_seconds": value}
    job.settle()
    progress = job.status["progress"]
    assert (progress["rollout"], progress["display"]) == (0, "0/10")
    assert "etaSeconds" not in progress
    assert job.status["weights"]["version"] == 0
    assert job.condition("WeightsInSync")["status"] != "True"
