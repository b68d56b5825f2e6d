"""The processes of a run: how it ends when they end, and how they end when it does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rljob.cli.failure import Failure, read_failure
from rljob.cli.run_directory import RunDirectory
from rljob.cli.status import status
from rljob.telemetry.incident import read_incidents
from tests.support.run_dir import write_run_dir

ROOT = Path(__file__).parents[2]

# A program's first lines: tells that it runs, and where its own helpers are.
READY = """
import os, signal, subprocess, sys, time
def ready(role, *pids):
    path = os.environ["RLJOB_RUN_DIR"] + "/ready-" + role
    with open(path + ".partial", "w") as file:
        print(os.getpid(), *pids, file=file)
    os.rename(path + ".partial", path)
"""
WAITING = READY + "ready({role!r})\ntime.sleep(600)\n"
ROLE = READY + "from rljob.telemetry.role import run_role\n"


@pytest.fixture
def start(tmp_path: Path):
    """Starts roles under the command line's own supervisor."""
    started: list[subprocess.Popen[str]] = []

    def start(
        run_dir: Path = tmp_path, *, rollouts: int = 90, **programs: str
    ) -> subprocess.Popen[str]:
        arguments = [str(run_dir), json.dumps(programs), json.dumps({"rollouts": rollouts})]
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.cli.driver", *arguments],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def pids(run_dir: Path, role: str) -> list[int]:
    """The pids that a program has told, once it has."""
    path = run_dir / f"ready-{role}"
    until(path.exists)
    return [int(word) for word in path.read_text().split()]


def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition; the test's own time limit ends it otherwise."""
    while not condition():
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_role_that_fails_ends_the_run_with_its_last_lines(start, tmp_path):
    failing = (
        READY
        + """
while not os.path.exists(os.environ["RLJOB_RUN_DIR"] + "/ready-rollout"):
    time.sleep(0.02)
for n in range(31):
    print("line", n, flush=True)
sys.exit(3)
"""
    )
    run = start(trainer=failing, rollout=WAITING.format(role="rollout"))
    rollout = pids(tmp_path, "rollout")
    output = run.communicate()[0]
    assert run.returncode == 1
    assert "trainer[0] failed with exit code 3" in output
    shown = [line.strip() for line in output.splitlines() if line.startswith("    ")]
    assert shown == [f"line {n}" for n in range(11, 31)]
    assert gone(rollout[0])
    assert read_failure(tmp_path).message == "trainer[0] failed with exit code 3"
    assert not (tmp_path / "report.html").exists()  # there is nothing to report


FILLING = (
    ROLE
    + """
def main(environment):
    with open(environment.run_dir + "/checkpoint", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
run_role("trainer", main)
"""
)


def test_a_disk_that_runs_full_is_told_in_one_line(start, small_disk):
    run = start(small_disk, trainer=FILLING, rollout=WAITING.format(role="rollout"))
    output = run.communicate()[0]
    assert run.returncode == 1
    assert output.splitlines() == [
        f"run directory: {small_disk}",
        "starting",
        f"trainer[0] failed with exit code 1: {small_disk}: no space left on its disk; free some, "
        "e.g. old checkpoints, logs and runs, and run the same command again",
    ]
    found = status(small_disk)
    assert found.failed
    assert "no space left on its disk" in found.lines[0]


def test_a_report_that_has_no_space_is_told_in_one_line(start, small_disk):
    write_run_dir(small_disk, rollouts=2, finished=False)
    run = start(small_disk, trainer=FILLING)
    output = run.communicate()[0]
    assert run.returncode == 1
    assert output.splitlines()[-1].startswith(f"no report: {small_disk}: no space left")


def test_a_failed_run_with_results_has_a_report(start, tmp_path):
    write_run_dir(tmp_path, rollouts=2, finished=False)
    run = start(trainer="import sys; sys.exit(3)")
    assert f"report: {tmp_path}/report.html" in run.communicate()[0]


def test_a_role_that_does_not_even_start_is_told_of(start):
    run = start(trainer="import no_such_module")
    output = run.communicate()[0]
    assert run.returncode == 1
    assert "No module named 'no_such_module'" in output


def test_a_trainer_that_is_killed_is_named_with_the_signal(start, tmp_path):
    run = start(trainer=WAITING.format(role="trainer"), rollout=WAITING.format(role="rollout"))
    pids(tmp_path, "rollout")
    os.kill(pids(tmp_path, "trainer")[0], signal.SIGKILL)
    output = run.communicate()[0]
    assert run.returncode == 1
    assert "trainer[0] was killed by SIGKILL" in output


# A trainer that ends well once the path named by `until` is there.
UNTIL = (
    READY
    + """
ready("trainer")
while not os.path.exists(os.environ["RLJOB_RUN_DIR"] + "/{until}"):
    time.sleep(0.02)
"""
)


@pytest.mark.parametrize("role", ["rollout", "buffer", "router"])
def test_a_role_that_is_killed_is_started_again(start, tmp_path, role):
    write_run_dir(tmp_path)
    twice = (
        READY
        + """
print("started as", os.getpid(), flush=True)
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
ready("{role}" if not os.path.exists(os.environ["RLJOB_RUN_DIR"] + "/ready-{role}") else "second",
      helper.pid)
time.sleep(600)
"""
    ).replace("{role}", role)
    run = start(**{"trainer": UNTIL.format(until="ready-second"), role: twice})
    pids(tmp_path, "trainer")
    first, helper = pids(tmp_path, role)
    os.kill(first, signal.SIGKILL)
    second = pids(tmp_path, "second")[0]
    assert gone(helper)  # it would hold a port, or a GPU
    output = run.communicate()[0]
    assert run.returncode == 0, output
    said = f"{role}[0] was killed by SIGKILL; restarting it (restart 1 of at most 10)"
    assert said in output.splitlines()
    assert [incident.message for incident in read_incidents(tmp_path)] == [said]
    (log,) = tmp_path.glob(f"logs/*/*/{role}/0/stdout.log")
    assert log.read_text() == f"started as {first}\nstarted as {second}\n"


def test_a_role_that_fails_before_any_engine_worked_ends_the_run(start, tmp_path):
    failing = (
        ROLE
        + """
def main(environment):
    raise RuntimeError("no room for the cache")
run_role("rollout", main)
"""
    )
    run = start(trainer=WAITING.format(role="trainer"), rollout=failing)
    output = run.communicate()[0]
    assert run.returncode == 1
    assert "rollout[0] failed with exit code 1" in output
    assert read_incidents(tmp_path) == []


def test_a_role_that_fails_after_a_batch_is_started_again_though_no_status_was_heard(
    start, tmp_path
):
    """A busy trainer answers /status late: what it has trained on is proof enough."""
    write_run_dir(tmp_path)
    fails_once = (
        READY
        + """
import json
from pathlib import Path
run = Path(os.environ["RLJOB_RUN_DIR"])
if (run / "ready-rollout").exists():
    ready("second")
    time.sleep(600)
with open(run / "metrics.jsonl", "a") as file:
    print(json.dumps({"rollout": 99, "time": time.time(), "reward/mean": 0.5}), file=file)
ready("rollout")
sys.exit(1)
"""
    )
    run = start(trainer=UNTIL.format(until="ready-second"), rollout=fails_once)
    output = run.communicate()[0]
    assert run.returncode == 0, output
    said = "rollout[0] failed with exit code 1; restarting it (restart 1 of at most 10)"
    assert [incident.message for incident in read_incidents(tmp_path)] == [said]


def test_a_usage_error_is_passed_through_with_its_message_alone(start, tmp_path):
    program = (
        ROLE
        + """
from rljob.errors import UsageError
def main(environment):
    assert environment.buffer_password == "$ecret $${password}"
    raise UsageError("spec.data.prompts: x.jsonl: line 3: no JSON")
run_role("trainer", main)
"""
    )
    run = start(trainer=program, rollout=WAITING.format(role="rollout"))
    output = run.communicate()[0]
    assert run.returncode == 64
    said = output.splitlines()
    assert "spec.data.prompts: x.jsonl: line 3: no JSON" in said
    assert read_failure(tmp_path) == Failure(
        "spec.data.prompts: x.jsonl: line 3: no JSON", 64, read_failure(tmp_path).time
    )
    assert not [line for line in said if "role.failed" in line]


def test_a_finished_run_ends_well(start, tmp_path):
    write_run_dir(tmp_path)
    run = start(trainer=READY, rollout=READY)
    output = run.communicate()[0]
    assert run.returncode == 0, output
    assert "finished 90 rollouts in 2:41, reward 0.050 -> 0.960, held-out 0.000 -> 0.935" in output


def test_a_run_that_only_evaluates_ends_with_its_scores(start, tmp_path):
    write_run_dir(tmp_path, rollouts=0)
    run = start(rollouts=0, trainer=READY, rollout=READY)
    output = run.communicate()[0]
    assert run.returncode == 0, output
    assert "evaluated in 2:41: held-out 0.935" in output


def test_a_trainer_that_ends_too_early_is_no_success(start):
    run = start(trainer=READY)
    output = run.communicate()[0]
    assert run.returncode == 1
    assert "before the run was finished" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_every_role_in_order(start, tmp_path, number):
    orderly = (
        READY
        + """
def stop(*_):
    open(os.environ["RLJOB_RUN_DIR"] + "/saved", "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
ready("trainer")
time.sleep(600)
"""
    )
    run = start(trainer=orderly, rollout=WAITING.format(role="rollout"))
    roles = pids(tmp_path, "trainer") + pids(tmp_path, "rollout")
    run.send_signal(number)
    output = run.communicate()[0]
    assert run.returncode == 130
    assert "stopped; resume with: " in output
    assert (tmp_path / "saved").exists()
    assert all(gone(pid) for pid in roles)


def test_a_second_signal_kills_a_role_that_does_not_listen(start, tmp_path):
    deaf = (
        READY + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nready('trainer')\ntime.sleep(600)"
    )
    run = start(trainer=deaf)
    trainer = pids(tmp_path, "trainer")[0]
    run.send_signal(signal.SIGINT)
    until(lambda: "stopping" in run.stdout.readline())
    run.send_signal(signal.SIGINT)
    run.communicate()
    assert run.returncode == 130
    assert gone(trainer)


def test_helpers_of_a_role_go_with_it_even_from_a_session_of_their_own(start, tmp_path):
    leaving = (
        READY
        + """
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
command = [sys.executable, "-c", deaf]
helpers = [subprocess.Popen(command, start_new_session=new) for new in (False, True)]
ready("rollout", *(helper.pid for helper in helpers))
time.sleep(600)
"""
    )
    run = start(trainer=WAITING.format(role="trainer"), rollout=leaving)
    trainer = pids(tmp_path, "trainer")[0]
    _, *helpers = pids(tmp_path, "rollout")
    os.kill(trainer, signal.SIGKILL)
    run.communicate()
    assert run.returncode == 1
    assert all(gone(pid) for pid in helpers)


def test_roles_end_when_the_command_line_is_killed(start, tmp_path):
    listening = (
        ROLE
        + """
def main(environment):
    def stop(*_):
        open(environment.run_dir + "/stopped", "w").close()
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    ready("trainer")
    time.sleep(600)
run_role("trainer", main)
"""
    )
    run = start(trainer=listening)
    trainer = pids(tmp_path, "trainer")[0]
    assert RunDirectory(tmp_path).in_use()
    run.kill()
    run.communicate()
    until(lambda: gone(trainer))
    assert (tmp_path / "stopped").exists()
    until(lambda: not RunDirectory(tmp_path).in_use())


def test_progress_is_one_line_per_batch_where_nobody_watches(start, tmp_path):
    training = (
        ROLE
        + """
import json
from prometheus_client import CollectorRegistry
from rljob.telemetry.server import StatusServer
def main(environment):
    status = {"phase": "starting", "message": "waiting for engines"}
    address = environment.host, environment.metrics_port
    StatusServer(*address, CollectorRegistry(), lambda: status).start()
    ready("trainer")
    while not os.path.exists(environment.run_dir + "/go"):
        time.sleep(0.02)
    with open(environment.run_dir + "/evaluations.jsonl", "w") as file:
        sample = {"prompt": "4093>", "response": "\\x1b[31m0349", "label": "0349", "reward": 1.0}
        print(json.dumps({"rollout": 0, "time": time.time(), "name": "held-out", "reward": 0.5,
                          "count": 200, "samples": [sample] * 8}), file=file)
    with open(environment.run_dir + "/metrics.jsonl", "w") as file:
        print(json.dumps({"rollout": 1, "time": 0, "reward/mean": 0.9}), file=file)  # of before
        for rollout in (1, 2):
            print(json.dumps({
                "rollout": rollout, "time": time.time(), "reward/mean": rollout / 4,
                "response/length_mean": 4.0, "weights/version": rollout, "staleness/max": 1,
                "throughput/samples_per_second": 80.0,
            }), file=file)
    return 0
run_role("trainer", main)
"""
    )
    run = start(trainer=training)
    pids(tmp_path, "trainer")
    lines: list[str] = []
    until(lambda: "starting: waiting for engines\n" in lines or lines.append(run.stdout.readline()))
    (tmp_path / "go").touch()
    lines += run.communicate()[0].splitlines(keepends=True)
    assert [line for line in lines if line.startswith("rollout ")] == [
        f"rollout {n}/90  reward={n / 4:.3f}  length=4.0  samples/s=80.0  version={n}  "
        "staleness=1  eta=-\n"
        for n in (1, 2)
    ]
    answers = [line for line in lines if "4093>" in line]
    assert len(answers) == 4
    assert answers[0].strip() == "4093> -> \\x1b[31m0349   (label 0349, reward 1.00)"
    assert any("evaluation held-out after rollout 0: reward 0.500" in line for line in lines)
