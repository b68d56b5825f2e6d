"""How long a job may be active."""

from tests.operator_.simulation import running


def test_it_counts_active_time_only() -> None:
    job = running(runPolicy={"activeDeadlineSeconds": 100})
    job.wait(60).change(suspend=True).settle()
    job.wait(1000).change(suspend=False).settle()
    assert job.status["phase"] == "Running"
    job.wait(39).settle()
    assert job.status["phase"] == "Running"
    job.wait(1).settle()
    assert job.condition("Failed")["reason"] == "DeadlineExceeded"
    assert "active for longer than 100 s" in job.condition("Failed")["message"]
    assert job.status["activeSeconds"] == 100
    assert not job.pods


def test_it_can_be_set_and_moved_on_a_job_that_runs() -> None:
    job = running().wait(500)
    job.change(runPolicy={"activeDeadlineSeconds": 1000}).settle()
    assert job.status["phase"] == "Running"
    job.change(runPolicy={"activeDeadlineSeconds": 500}).settle()
    assert job.status["phase"] == "Failed"


def test_a_clock_that_is_behind_takes_no_time_away() -> None:
    job = running(runPolicy={"activeDeadlineSeconds": 100}).wait(-1000)
    job.change(suspend=True).settle()
    assert job.status["activeSeconds"] == 0
