"""What make does before anything is installed, and which commands it would run."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.project.metadata import ROOT


def make(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", "-C", str(directory), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """As much of a fresh clone as make looks at."""
    directory = tmp_path / "clone"
    directory.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, directory)
    shutil.copytree(ROOT / "requirements", directory / "requirements")
    return directory


@pytest.fixture
def ready(clone: Path) -> Path:
    """A clone whose .venv holds programs that tell how they are called."""
    programs = clone / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "uv", "rljob"):
        program(programs / name, f'echo "called: {name} $*"')
    (clone / ".venv" / "ready").touch()
    return clone


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_an_old_python_is_named(clone: Path, tmp_path: Path) -> None:
    old = program(tmp_path / "old", 'test "$1" = --version && { echo Python 3.9.2; exit; }; exit 1')
    found = make(clone, "setup", f"PYTHON={old}")
    assert found.returncode != 0
    assert "Python 3.9.2; Python 3.11 or later is needed" in found.stderr
    assert "PYTHON=" in found.stderr
    assert not (clone / ".venv").exists()


def test_a_python_without_venv_is_named(clone: Path, tmp_path: Path) -> None:
    bare = program(tmp_path / "bare", 'case "$2" in *ensurepip*) exit 1;; esac')
    found = make(clone, "setup", f"PYTHON={bare}")
    assert found.returncode != 0
    assert "python3-venv" in found.stderr
    assert not (clone / ".venv").exists()


def test_a_python_that_is_not_there_is_named(clone: Path) -> None:
    found = make(clone, "setup", "PYTHON=/no/such/python")
    assert found.returncode != 0
    assert "/no/such/python" in found.stderr


def test_nothing_is_done_again_while_nothing_has_changed(ready: Path) -> None:
    assert "called" not in make(ready, "setup").stdout
    lock = ready / "requirements" / "cpu.txt"
    later = (ready / ".venv" / "ready").stat().st_mtime + 10
    os.utime(lock, (later, later))
    assert "uv pip install" in make(ready, "setup", "-n").stdout


PROGRAMS = ("ruff", "mypy", "lint-imports", "pytest", "python")
STAGES = (
    "style",
    "format",
    "types",
    "imports",
    "tests of parts",
    "Kubernetes",
    "tests on a control plane",
    "tests with engines",
)


@pytest.fixture
def tested(ready: Path) -> Path:
    """A clone in which every program of `make test` succeeds."""
    for name in PROGRAMS:
        program(ready / ".venv" / "bin" / name, f'echo "called: {name} $*"')
    return ready


def stages(output: str) -> tuple[list[str], list[str]]:
    """Names of the stages that ran, and the table at the end, without the times."""
    began, _, table = output.partition("== time\n")
    names = [line.removeprefix("== ") for line in began.splitlines() if line.startswith("== ")]
    return names, [re.sub(r": \d+ s", "", line) for line in table.splitlines()]


def test_the_table_of_times_comes_last(tested: Path) -> None:
    found = make(tested, "test")
    assert found.returncode == 0, found.stderr
    names, table = stages(found.stdout)
    assert tuple(names) == STAGES
    assert table[: len(STAGES)] == list(STAGES)
    assert make(tested, "lint").returncode == 0


@pytest.mark.parametrize(
    ("failing", "failed"),
    [
        ("ruff", STAGES[:2]),
        ("mypy", STAGES[2:3]),
        ("pytest", (STAGES[4], *STAGES[6:])),
    ],
)
def test_a_stage_that_fails_keeps_no_other_from_running(
    tested: Path, failing: str, failed: tuple[str, ...]
) -> None:
    program(tested / ".venv" / "bin" / failing, "exit 1")
    found = make(tested, "test")
    assert found.returncode != 0
    names, table = stages(found.stdout)
    assert tuple(names) == STAGES
    marked = [f"{name}, failed" if name in failed else name for name in STAGES]
    assert table[: len(STAGES)] == marked


def test_lint_fails_with_any_of_its_stages(tested: Path) -> None:
    program(tested / ".venv" / "bin" / "ruff", "exit 1")
    assert make(tested, "lint").returncode != 0


def test_every_target_is_explained(clone: Path) -> None:
    phony = next(
        line for line in (clone / "Makefile").read_text().splitlines() if line.startswith(".PHONY:")
    )
    found = make(clone).stdout
    assert all(f"make {target}" in found for target in phony.split()[1:] if target != "help")


def demo(directory: Path) -> list[str]:
    found = make(directory, "demo", "SEED=3")
    assert found.returncode == 0, found.stderr
    return [line for line in found.stdout.splitlines() if line.startswith("called")]


PREPARE = "called: python examples/sort_digits/prepare.py --seed 3"
RUN = "called: rljob run examples/sort_digits/job.yaml --run-dir runs/demo --seed 3"


def test_the_demo_prepares_and_runs(ready: Path) -> None:
    assert demo(ready) == [PREPARE, RUN]


def test_the_demo_begins_anew_after_it_has_finished(ready: Path) -> None:
    run = ready / "runs" / "demo"
    run.mkdir(parents=True)
    (run / "summary.json").write_text('{\n  "state": "succeeded",\n  "seed": 3\n}\n')
    assert demo(ready) == [PREPARE, RUN]
    assert not run.exists()


@pytest.fixture
def stopped(ready: Path) -> Path:
    """A clone whose demo was stopped."""
    run = ready / "runs" / "demo"
    run.mkdir(parents=True)
    (run / "summary.json").write_text('{\n  "state": "stopped",\n  "seed": 3\n}\n')
    return ready


def test_the_demo_goes_on_with_the_same_model_after_it_was_stopped(stopped: Path) -> None:
    (stopped / "examples" / "sort_digits" / "build").mkdir(parents=True)
    assert demo(stopped) == [RUN]
    assert (stopped / "runs" / "demo").exists()


def test_the_demo_prepares_again_what_was_cleaned_away(stopped: Path) -> None:
    assert demo(stopped) == [PREPARE, RUN]
    assert (stopped / "runs" / "demo").exists()
