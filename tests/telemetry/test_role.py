"""The frame of a role's process: exit codes, the reason of a failure, a single output stream."""

import os
import subprocess
import sys

import pytest

from tests.plan.test_environment import WHOLE

PROGRAM = """
import sys
from rljob.errors import UsageError
from rljob.telemetry.role import run_role
def main(environment):
    print("to stderr", file=sys.stderr)
    {body}
run_role("trainer", main)
"""


@pytest.fixture
def run(tmp_path):
    """Runs a role whose main does `body`; returns the process and the reason it left."""

    def run(body: str, **changed: str):
        reason = tmp_path / "reason"
        environment = {
            **os.environ,
            **WHOLE.to_env(),
            "RLJOB_SUPERVISOR": "",
            "RLJOB_TERMINATION_FILE": str(reason),
            **changed,
        }
        process = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(body=body)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return process, reason.read_text() if reason.exists() else None

    return run


@pytest.mark.parametrize(("body", "code"), [("return 0", 0), ("return None", 0), ("return 7", 7)])
def test_the_exit_code_is_mains(run, body, code):
    process, reason = run(body)
    assert (process.returncode, reason) == (code, None)


def test_a_usage_error_is_64_with_its_message(run):
    process, reason = run('raise UsageError("spec.data: line 3")')
    assert (process.returncode, reason) == (64, "spec.data: line 3")
    assert process.stdout.splitlines()[-1].endswith(
        'trainer[2] error role.failed message="spec.data: line 3"'
    )
    assert "Traceback" not in process.stdout


def test_any_other_exception_is_1_with_a_traceback(run):
    process, reason = run('raise ValueError("no")')
    assert (process.returncode, reason) == (1, "ValueError: no")
    assert "Traceback" in process.stdout


def test_all_output_is_one_stream(run):
    process, _ = run("return 0")
    assert (process.stdout, process.stderr) == ("to stderr\n", "")


def test_a_wrong_environment_is_the_users_mistake(run):
    process, reason = run("return 0", RLJOB_METRICS_PORT="x")
    assert process.returncode == 64
    assert reason is not None and reason.startswith("RLJOB_METRICS_PORT")


def test_the_first_reason_stays(run, tmp_path):
    (tmp_path / "reason").write_text("the first")
    assert run('raise ValueError("the second")')[1] == "the first"


def test_an_empty_file_as_kubernetes_makes_it_is_written_to(run, tmp_path):
    (tmp_path / "reason").touch()
    assert run('raise ValueError("no")')[1] == "ValueError: no"


def test_a_lost_reason_is_no_other_failure(run):
    process, _ = run('raise UsageError("why")', RLJOB_TERMINATION_FILE="/no/such/dir/reason")
    assert process.returncode == 64
    assert "role.reason_lost" in process.stdout


def test_a_role_whose_supervisor_has_gone_already_ends(run, tmp_path):
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    body = "import time; time.sleep(600)"
    process, _ = run(body, RLJOB_SUPERVISOR=gone, RLJOB_RUN_DIR=str(tmp_path))
    assert process.returncode == -15


def test_a_role_that_comes_too_late_does_not_enter_anothers_directory(run, tmp_path):
    import fcntl

    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process, reason = run(
            "return 0", RLJOB_SUPERVISOR=str(os.getpid()), RLJOB_RUN_DIR=str(tmp_path)
        )
    assert process.returncode == 1
    assert reason is not None and reason.startswith("BlockingIOError")
