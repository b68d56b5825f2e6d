"""The examples learn, by the commands of their READMEs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.examples, pytest.mark.engine, pytest.mark.timeout(2400)]

ROOT = Path(__file__).parents[2]
COMMANDS = re.compile(r"```sh\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the examples, where commands run as in the repository's root."""
    directory = tmp_path_factory.mktemp("place")
    shutil.copytree(ROOT / "examples", directory / "examples", ignore=lambda *_: {"build"})
    return directory


def follow(name: str, place: Path) -> dict[str, float]:
    """Runs the commands of an example's README; returns the reward of its first and last batches,
    and of its evaluation after them."""
    (commands,) = COMMANDS.findall((place / "examples" / name / "README.md").read_text())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    for command in commands.splitlines():
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    summary = json.loads((place / "runs" / name / "summary.json").read_text())
    return {
        "first": summary["reward_first5"],
        "last": summary["reward_last5"],
        "held out": summary["evaluations"]["held-out"]["after"],
    }


@pytest.fixture(scope="module")
def tools(place: Path) -> dict[str, float]:
    """The example that two others go on from."""
    return follow("tools", place)


def test_tools(tools: dict[str, float]) -> None:
    check(tools)


@pytest.mark.parametrize("name", ["agent", "slime_hooks"])
def test_another_way_to_play_the_same_task(tools: dict[str, float], place: Path, name: str) -> None:
    check(follow(name, place))


@pytest.mark.parametrize(
    ("name", "target", "held_out"),
    [("async", 0.9, 0.85), ("custom_reward", 1.08, 0.85), ("math", 0.8, 0.8)],
)
def test_it_learns(name: str, target: float, held_out: float, place: Path) -> None:
    reward = follow(name, place)
    assert reward["first"] < 0.5
    assert reward["last"] >= target
    assert reward["held out"] >= held_out


def check(reward: dict[str, float]) -> None:
    assert reward["first"] < 0.8
    assert reward["last"] >= 0.92
    assert reward["held out"] >= 0.8  # 100 samples: a margin of 0.08
