"""When a finished job is deleted."""

import pytest

from tests.operator_.simulation import FINISHED, failed, running


@pytest.mark.parametrize("how", ["Succeeded", "Failed"])
def test_it_begins_with_the_end(how: str) -> None:
    job = running(runPolicy={"ttlSecondsAfterFinished": 30}).wait(1000)
    if how == "Succeeded":
        job.report = dict(FINISHED)
    else:
        job.pods["job-trainer-0"] = failed(job.pods["job-trainer-0"], 64)
    job.settle()
    assert job.status["phase"] == how
    job.wait(29).settle()
    assert job.manifest is not None
    job.wait(1).settle()
    assert job.manifest is None
    assert job.told()[-1] == "TimeToLiveOver"


def test_nothing_is_left_running_where_it_is_over_at_once() -> None:
    job = running(runPolicy={"ttlSecondsAfterFinished": 0})
    job.report = dict(FINISHED)
    assert job.settle().manifest is None
    assert not job.pods


def test_it_can_be_set_afterwards() -> None:
    job = running()
    job.report = dict(FINISHED)
    job.settle().wait(1000).settle()
    assert job.manifest is not None
    job.change(runPolicy={"ttlSecondsAfterFinished": 999}).settle()
    assert job.manifest is None
