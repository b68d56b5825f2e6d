"""The processes that judge, as children of a worker: their output, and their end."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.support.waiting import wait_for

CODE = Path(__file__).parents[1] / "code"
# A process of its own: what its children print, and that they end with it, is seen from outside.
JUDGE = """
import asyncio, sys
from rljob.api.reward import RewardSpec
from rljob_rollout.rewards import RewardInput
from rljob_rollout.judging.pool import RewardPool

async def judge(hook):
    pool = RewardPool({hook: "spec.rollout.reward.type"}, 2, replica=3)
    sample = RewardInput("4093>", "0349", "0349", "0349", {}, [3, 6], "completed")
    print(await pool.judge(RewardSpec(type=hook), sample), flush=True)
    pool.close()

asyncio.run(judge(sys.argv[1]))
"""


def start(hook: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", JUDGE, hook]
    return subprocess.Popen(command, cwd=CODE, stdout=subprocess.PIPE, text=True)


def test_what_a_reward_prints_and_logs_comes_with_the_workers_lines() -> None:
    process = start("odd_rewards:speaks")
    output, _ = process.communicate()
    assert process.returncode == 0
    assert "printed by the reward\n" in output
    assert "rollout[3] warning library.message logger=judge message=" in output
    assert 'rollout[3] info reward.event said="structured by the reward"\n' in output


def test_no_process_outlives_a_worker_that_was_killed() -> None:
    """Not even one in which C code keeps the interpreter."""
    with start("odd_rewards:says_and_holds") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "judging\n"
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        process.send_signal(signal.SIGKILL)
        wait_for(lambda: not any(child.is_running() for child in children), "all have ended", 30)
