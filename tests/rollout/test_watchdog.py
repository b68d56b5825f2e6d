"""A worker whose event loop is stuck is ended, and reports where it is stuck."""

import os
import subprocess
import sys
from pathlib import Path

from rljob.plan.environment import variable

PROGRAM = """
import asyncio, time
from rljob_rollout import watchdog

async def main():
    watch = asyncio.create_task(watchdog.Watchdog(still_ticks={ticks}).run())
    {work}
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    print("went on")

watchdog._TICK_SECONDS = 0.05
watchdog._LOCKED_SECONDS = {locked}
asyncio.run(main())
"""


def run(
    directory: Path, work: str, *, ticks: int = 4, locked: float = 600
) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(work=work, ticks=ticks, locked=locked)
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, variable("termination_file"): str(directory / "reason")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_loop_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    ended = run(tmp_path, "await asyncio.sleep(0.6)")
    assert (ended.returncode, ended.stdout) == (0, "went on\n"), ended.stderr


def test_a_loop_that_stands_still_ends_the_process_and_says_where(tmp_path: Path) -> None:
    ended = run(tmp_path, "await asyncio.sleep(0); time.sleep(60)")
    assert ended.returncode == 1
    reason = (tmp_path / "reason").read_text()
    assert reason.startswith("the worker's event loop has stood still for 0 s: <string>:")
    assert reason.endswith("in main")


def test_code_that_keeps_the_interpreters_lock_does_not_keep_the_process(tmp_path: Path) -> None:
    # A pattern that backtracks for ages, in one call of C.
    work = "import re; await asyncio.sleep(0); re.match('(a*)*b', 'a' * 64)"
    ended = run(tmp_path, work, locked=0.5)
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "re.match" in ended.stderr or "in match" in ended.stderr
