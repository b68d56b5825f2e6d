"""`python -m tests.trainer.pod`: a pod of the trainer whose ranks only wait for a common stop.

The launcher does not depend on what ranks do with a model and samples, which would need engines.
"""

import os
import sys
from pathlib import Path

import torch.distributed as dist

from rljob.errors import UsageError
from rljob.plan.environment import RoleEnvironment
from rljob.telemetry.role import run_role
from rljob_trainer.process.collective import Rank0
from rljob_trainer.process.launcher import launch
from rljob_trainer.process.stop import StopFlag, StoppedError

WRONG = "wrong"  # a file in the run directory, by which a mistake of the user's shows


def rank(environment: RoleEnvironment) -> int:
    """Says where it is, and waits as the conductor does: rank 0 for samples, the others for it."""
    stop = StopFlag().listen()
    dist.init_process_group("gloo")
    number, run_dir = dist.get_rank(), Path(environment.run_dir)
    rank0 = Rank0(number)

    def work() -> None:
        if (run_dir / WRONG).exists():
            raise UsageError("spec.data.prompts: found nothing")
        stop.wait(0.2)

    _say(run_dir / f"rank-{number}", f"{environment.replica} {os.getpid()}")
    try:
        while True:
            rank0(work)
    except StoppedError:
        _say(run_dir / f"saved-{number}", "")
    return 0


def _say(file: Path, text: str) -> None:
    """At once, or not at all."""
    partial = file.with_suffix(".partial")
    partial.write_text(text)
    partial.rename(file)


if __name__ == "__main__":
    if "RANK" in os.environ:
        run_role("trainer", rank)
    run_role("trainer", lambda environment: launch(environment, rank=sys.argv[1]))
