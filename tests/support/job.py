"""Small jobs on the sorting task, run from the command line as a user would."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from examples.sort_digits import prepare
from tests.support.waiting import wait_for

EXAMPLE = Path(prepare.__file__).parent
RLJOB = Path(sys.executable).with_name("rljob")


def write_task(directory: Path, seed: int = 1) -> Path:
    """Writes the sorting task's prompts, tokenizer and model to `directory`; returns it."""
    model = directory / "model"
    model.mkdir(parents=True)
    prepare.write_prompts(directory)
    prepare.write_tokenizer(model)
    prepare.write_model(model, seed)
    return directory


def manifest(task: Path, *, name: str = "small", **changes: Any) -> dict[str, Any]:
    """A manifest of a few short batches; changes are named by path, with `__` for dots."""
    spec: dict[str, Any] = {
        "model": {"checkpoint": str(task / "model")},
        "data": {"prompts": [str(task / "train.jsonl")], "maxPromptTokens": 8},
        "algorithm": {"samplesPerPrompt": 4},
        "schedule": {
            "rollouts": 6,
            "rolloutBatchSize": 8,
            "globalBatchSize": 16,
            "stepsPerRollout": 2,
            "saveInterval": 3,
        },
        "trainer": {"optimizer": {"lr": 1e-3}},
        "rollout": {
            "sampling": {"maxResponseTokens": 4, "ignoreEos": True},
            "reward": {"type": "reward:right_positions"},
            "router": {"enabled": False},
        },
        "code": {"directory": str(EXAMPLE)},
    }
    for path, value in changes.items():
        *parents, leaf = path.split("__")
        place = spec
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    return {
        "apiVersion": "rljob.dev/v1alpha1",
        "kind": "RLJob",
        "metadata": {"name": name},
        "spec": spec,
    }


class Run:
    """One `rljob run` of a manifest in a run directory."""

    def __init__(self, directory: Path, document: dict[str, Any]) -> None:
        self.directory = directory
        self.file = directory.with_suffix(".yaml")
        YAML().dump(document, self.file)
        self.output = directory.with_suffix(".out")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the command."""
        assert self._process is not None
        return self._process.pid

    def start(self, *options: str) -> "Run":
        """Starts the command; its output is written to `output`."""
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [RLJOB, "run", self.file, "--run-dir", self.directory, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        return self

    def wait(self, seconds: float = 600) -> int:
        """Waits for the command to end; returns its exit code."""
        assert self._process is not None
        return self._process.wait(seconds)

    def run(self) -> int:
        """Runs the command to its end; returns its exit code."""
        return self.start().wait()

    def interrupt(self) -> None:
        """Ctrl-C."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Kills whatever is left of it, if a test failed."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = 400) -> None:
        """Waits for something to happen while the command runs; fails if the command ends first."""
        process = self._process
        assert process is not None

        def happened() -> bool:
            if condition():
                return True
            assert process.poll() is None, f"ended before {what}:\n{self.text()}"
            return False

        wait_for(happened, f"{what}:\n{self.text()}", seconds)

    def trained(self) -> int:
        """Batches recorded so far."""
        return len(self.records("metrics"))

    def records(self, journal: str) -> list[dict[str, Any]]:
        """The complete lines of one of the run's journals."""
        path = self.directory / f"{journal}.jsonl"
        if not path.exists():
            return []
        lines = path.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def events(self, event: str) -> list[dict[str, Any]]:
        """The ledger's events of one kind."""
        return [record for record in self.records("ledger") if record["event"] == event]

    def consumed(self) -> list[tuple[int, int, int]]:
        """(rollout, epoch, index of the prompt) of every group that was trained on, in order."""
        prompts = {e["group"]: (e["epoch"], e["index"]) for e in self.events("admit")}
        return [(e["rollout"], *prompts[e["group"]]) for e in self.events("consume")]

    def audit(self) -> str:
        """The output of `rljob audit`; fails if it finds an error."""
        command = [RLJOB, "audit", self.directory]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def summary(self) -> dict[str, Any]:
        """summary.json."""
        summary: dict[str, Any] = json.loads((self.directory / "summary.json").read_text())
        return summary

    def text(self) -> str:
        """What the command printed."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""
