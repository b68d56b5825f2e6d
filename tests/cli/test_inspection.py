"""`rljob status`, `logs` and `report`: looking at a run from outside."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from rljob.cli.failure import Failure, write_failure
from rljob.cli.log_file import Tail
from rljob.cli.main import main
from rljob.cli.run_directory import Attempt
from tests.support.run_dir import write_run_dir


@pytest.fixture
def rljob(monkeypatch, capsys):
    def call(*arguments: object) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["rljob", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), (told.out + told.err).splitlines()

    return call


@pytest.fixture
def run_dir(tmp_path):
    """A stopped run with logs of two roles."""
    path = write_run_dir(tmp_path / "run", rollouts=40, finished=False)
    logs = path / "logs" / "1"
    attempt = Attempt(1, 0.0, str(logs), "http://127.0.0.1:1/status")
    (path / "run.json").write_text(json.dumps(asdict(attempt)))
    for role, number, text in (
        (
            "trainer",
            0,
            "2026-11-23T06:00:01Z trainer[0] info a.b\n  more\n2026-11-23T06:00:05Z c\n",
        ),
        ("rollout", 1, "2026-11-23T06:00:03Z rollout[1] info d.e\n"),
    ):
        directory = logs / "app" / role / str(number)
        directory.mkdir(parents=True)
        (directory / "stdout.log").write_text(text)
        (directory / "stderr.log").write_text("")
    return path


def test_logs_of_all_roles_in_the_order_of_time(rljob, run_dir):
    code, lines = rljob("logs", run_dir)
    assert code == 0
    assert lines == [
        "2026-11-23T06:00:01Z trainer[0] info a.b",
        "  more",
        "2026-11-23T06:00:03Z rollout[1] info d.e",
        "2026-11-23T06:00:05Z c",
    ]


def test_logs_of_one_role_to_the_end_of_a_run_that_has_ended(rljob, run_dir):
    assert rljob("logs", run_dir, "rollout", "-f")[1] == [
        "2026-11-23T06:00:03Z rollout[1] info d.e"
    ]


def test_the_last_lines_and_those_of_a_level(rljob, run_dir):
    assert rljob("logs", run_dir, "--tail", 2)[1] == [
        "2026-11-23T06:00:03Z rollout[1] info d.e",
        "2026-11-23T06:00:05Z c",
    ]
    (log,) = (run_dir / "logs" / "1" / "app" / "rollout" / "1").glob("stdout.log")
    with log.open("a") as file:
        file.write("2026-11-23T06:00:04Z rollout[1] warning f.g\n  its reason\n")
        file.write("2026-11-23T06:00:06Z rollout[1] info h.i\n")
    assert rljob("logs", run_dir, "--level", "warning")[1] == [
        "2026-11-23T06:00:04Z rollout[1] warning f.g",
        "  its reason",
    ]


def test_logs_for_programs(rljob, run_dir):
    code, lines = rljob("logs", run_dir, "trainer", "--output", "json")
    assert code == 0
    assert [json.loads(line) for line in lines][1] == {
        "source": "trainer[0]",
        "time": "2026-11-23T06:00:01Z",
        "level": "info",
        "text": "  more",
    }


def test_logs_of_engines_and_router(rljob, run_dir):
    for number, second in ((0, 2), (1, 1)):
        (run_dir / "logs" / f"engine-{number}.log").write_text(
            f"[2026-11-23 06:00:0{second}] Prefill batch\n"
        )
    (run_dir / "logs" / "router.log").write_text("2026-11-23 06:00:04  WARN no workers\n")
    assert rljob("logs", run_dir, "engine")[1] == [
        "engine[1] [2026-11-23 06:00:01] Prefill batch",
        "engine[0] [2026-11-23 06:00:02] Prefill batch",
    ]
    assert rljob("logs", run_dir, "router", "--level", "warning")[1] == [
        "2026-11-23 06:00:04  WARN no workers"
    ]
    assert rljob("logs", run_dir, "engine", "--level", "error") == (
        64,
        ["--level: the lines of SGLang have no level; leave it out"],
    )


def test_a_reader_that_has_gone_ends_the_logs_well(run_dir):
    log = run_dir / "logs" / "1" / "app" / "trainer" / "0" / "stdout.log"
    log.write_text("2026-11-23T06:00:01Z trainer[0] info a.b\n" * 100_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "rljob.cli.main", "logs", str(run_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"2026-11-23T06:00:01Z trainer[0] info a.b\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_what_can_not_be_looked_at_is_named(rljob, run_dir, tmp_path):
    assert rljob("logs", run_dir, "cook") == (
        64,
        ["role: found 'cook', allowed buffer, trainer, rollout, router, engine"],
    )
    for command in ("logs", "status", "report"):
        code, lines = rljob(command, tmp_path)
        assert code == 64
        assert lines == [f"{tmp_path}: found no run (no job.json), allowed a run directory"]


def test_the_status_of_a_stopped_run(rljob, run_dir):
    code, lines = rljob("status", run_dir)
    assert code == 0
    assert lines[0] == "default/sort-digits: stopped; `rljob run` resumes it"
    assert lines[1].startswith("rollout 40/90  reward=0.")
    assert lines[2].startswith("evaluation held-out after rollout 30: reward 0.")


def test_the_status_after_a_failure(rljob, run_dir):
    write_failure(run_dir, Failure("trainer[0] was killed by SIGKILL", 1))
    code, lines = rljob("status", run_dir)
    assert code == 1
    assert lines[0] == "default/sort-digits: failed: trainer[0] was killed by SIGKILL"
    code, lines = rljob("status", run_dir, "--output", "json")
    told = json.loads("\n".join(lines))
    assert (code, told["state"]) == (1, "failed")
    assert told["reason"] == "trainer[0] was killed by SIGKILL"
    assert (told["rollouts"], told["batch"]["rollout"]) == (90, 40)


def test_the_status_of_a_finished_run(rljob, tmp_path):
    write_run_dir(tmp_path)
    assert rljob("status", tmp_path)[1][0] == "default/sort-digits: finished in 2:41"


def test_a_report_is_written_any_time(rljob, run_dir):
    assert rljob("report", run_dir) == (0, [str(run_dir / "report.html")])
    assert "not finished" in (run_dir / "report.html").read_text()


def test_help_imports_nothing_heavy():
    program = "import sys, rljob.cli.main; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"pydantic", "torchx", "plotly", "jinja2", "torch", "ruamel.yaml", "numpy", "redis"}
    assert not heavy & set(modules)


def test_a_tail_gives_whole_lines_once_and_again_after_a_cut(tmp_path: Path):
    path = tmp_path / "file"
    tail = Tail(path)
    assert list(tail.lines()) == []
    path.write_bytes(b"one\ntw")
    assert list(tail.lines()) == ["one"]
    with path.open("ab") as file:
        file.write(b"o\n\xff\n")
    assert list(tail.lines()) == ["two", "\ufffd"]
    path.write_bytes(b"new\n")
    assert list(tail.lines()) == ["new"]
