"""What saving costs training at the default interval: in the background, and while training waits.

The same optimizer steps are made without checkpoints, with one that is written while training
continues, as in a run, and with one that training waits for. Each block has as many batches as the
default interval, and the three kinds of blocks take turns, so that other load affects all of them.

    python benchmarks/checkpoint.py [--rounds 3]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.training.workload import be_alone, manifest, trajectories, write_model
from rljob.api import RLJob
from rljob.api.schedule import ScheduleSpec
from rljob_trainer.checkpoints.checkpoint import Checkpoints, pack
from rljob_trainer.checkpoints.saver import Saver
from rljob_trainer.learning.learner import Learner
from rljob_trainer.megatron.parallel import initialize
from rljob_trainer.process.collective import Rank0

GOAL = 1.05


class Blocks:
    """Blocks of batches, with and without a checkpoint in them."""

    def __init__(self, directory: Path) -> None:
        be_alone()
        checkpoint = write_model(directory / "model")
        job = RLJob.model_validate(manifest(checkpoint))
        self._learner = Learner(job, initialize(job), Rank0(0))
        checkpoints = Checkpoints(directory / "checkpoints", 2)
        self._saver = Saver(checkpoints, self._learner.captures, Rank0(0))
        self._batch = trajectories()
        self._saved = 0

    def without(self) -> float:
        """Seconds of a block in which nothing is saved."""
        return self._block(lambda: None)

    def beside(self) -> float:
        """Seconds of a block that captures a checkpoint at its start."""
        return self._block(self._save)

    def in_line(self) -> float:
        """The same, but training waits for the checkpoint."""

        def save() -> None:
            self._save()
            self._saver.finish()

        return self._block(save)

    def _block(self, save: Callable[[], None]) -> float:
        began = time.perf_counter()
        save()
        for _ in range(ScheduleSpec.model_fields["save_interval"].default):
            self._learner.learn(self._batch, rollout=0)
            self._saver.check()
        self._saver.finish()
        return time.perf_counter() - began

    def _save(self) -> None:
        self._saved += 1
        self._saver.begin(self._saved, lambda: pack({}))


def main() -> None:
    """Prints a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        blocks = Blocks(Path(name))
        blocks.beside()  # warm-up
        kinds = {"without": blocks.without, "beside": blocks.beside, "in line": blocks.in_line}
        rounds = [{kind: run() for kind, run in kinds.items()} for _ in range(arguments.rounds)]
        size = sum(path.stat().st_size for path in Path(name, "checkpoints").rglob("*.distcp")) / 2
    seconds = {kind: statistics.median(each[kind] for each in rounds) for kind in kinds}
    print(f"{size / 1e6:.0f} MB; median seconds of a block:")
    for kind, value in seconds.items():
        ratio = statistics.median(each[kind] / each["without"] for each in rounds)
        print(f"{kind:10}{value:8.2f}{ratio:8.3f}")
    result = {
        "name": "training with a checkpoint at the default interval against training without",
        "value": round(seconds["beside"], 3),
        "unit": "s",
        "peer": round(seconds["without"], 3),
        "ratio": round(statistics.median(each["beside"] / each["without"] for each in rounds), 3),
        "goal": GOAL,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
