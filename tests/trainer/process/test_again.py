"""The process that runs the launcher in a pod: what it starts again, and what ends it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rljob_trainer.process.again import AGAIN
from tests.support.waiting import wait_for

# Notes each start, and then does as the last argument says.
LAUNCHER = f"""
import os, signal, sys, time
notes, then = sys.argv[1:]
with open(notes, "a") as file:
    file.write("started\\n")
starts = len(open(notes).readlines())
print("start", starts)
if then == "again-twice":
    sys.exit({AGAIN} if starts < 3 else 0)
if then.isdecimal():
    sys.exit(int(then))
if then == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if then == "saves":
    signal.signal(signal.SIGTERM, lambda *_: (open(notes, "a").write("saved\\n"), sys.exit(0)))
if then == "ended-by-both":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit({AGAIN}))
open(notes + ".ready", "w").close()
time.sleep(60)
"""
AROUND = """
import sys
from pathlib import Path
from rljob_trainer.process.again import run_again
sys.exit(run_again(Path(sys.argv[1]), sys.argv[2:]))
"""


def start(notes: Path, then: str, output: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LAUNCHER, str(notes), then]
    log = notes.parent / "logs" / "stdout.log"
    environment = {**os.environ, "TMPDIR": str(notes.parent)}
    return subprocess.Popen(
        [sys.executable, "-c", AROUND, log, *command], env=environment, stdout=output, text=True
    )


def test_it_starts_again_while_another_pod_is_the_reason(tmp_path: Path) -> None:
    assert start(tmp_path / "notes", "again-twice").wait(60) == 0
    assert (tmp_path / "notes").read_text() == "started\n" * 3


def test_its_output_is_printed_and_kept(tmp_path: Path) -> None:
    told, _ = start(tmp_path / "notes", "again-twice", subprocess.PIPE).communicate(timeout=60)
    assert told == "start 1\nstart 2\nstart 3\n"
    assert (tmp_path / "logs" / "stdout.log").read_text() == told


def test_a_container_that_was_restarted_begins_with_the_last_words_of_the_one_before(
    tmp_path: Path,
) -> None:
    for _ in range(2):  # once it has been told, it is not told again
        assert start(tmp_path / "notes", "64").wait(60) == 64
        told, _ = start(tmp_path / "notes", "0", subprocess.PIPE).communicate(timeout=60)
        before, _, rest = told.partition("--- restarted\n")
        assert before.splitlines()[0] == "--- the last lines of this container before its restart:"
        assert before.splitlines()[1].startswith("start ")
        assert rest.startswith("start ")
        told, _ = start(tmp_path / "notes", "0", subprocess.PIPE).communicate(timeout=60)
        assert told.startswith("start ")


def test_without_a_place_for_its_output_it_goes_on(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")  # no directory
    told, _ = start(tmp_path / "notes", "again-twice", subprocess.PIPE).communicate(timeout=60)
    assert told == "start 1\nstart 2\nstart 3\n"


@pytest.mark.parametrize(
    ("then", "code"), [("0", 0), ("1", 1), ("64", 64), ("killed", 128 + signal.SIGKILL)]
)
def test_any_other_end_is_its_own(tmp_path: Path, then: str, code: int) -> None:
    assert start(tmp_path / "notes", then).wait(60) == code
    assert (tmp_path / "notes").read_text() == "started\n"


@pytest.mark.parametrize(
    ("then", "told"),
    [
        ("imports", "started\n"),  # it does not listen yet, and has nothing to save
        ("saves", "started\nsaved\n"),
        ("ended-by-both", "started\n"),  # another pod stops, too: this one does not come back
    ],
)
def test_a_signal_is_handed_on_and_ends_it(tmp_path: Path, then: str, told: str) -> None:
    process = start(tmp_path / "notes", then)
    wait_for((tmp_path / "notes.ready").exists, "it runs")
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(30) == 0
    assert (tmp_path / "notes").read_text() == told
