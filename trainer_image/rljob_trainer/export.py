"""`python -m rljob_trainer.export`: exports a run's checkpoint as a Hugging Face directory.

It runs as one process on the CPU, whatever the run's parallel sizes, so a live run keeps its GPUs.
It prints where the model is, or exits with code 64 and says what was found and what is allowed.
"""

import argparse
import os
from pathlib import Path

from rljob.api import RLJob
from rljob.api.trainer import ParallelismSpec, TrainerSpec
from rljob.errors import EXIT_USAGE, UsageError
from rljob_trainer.checkpoints.checkpoint import Checkpoint, Checkpoints, newest_whole


def main() -> int:
    """Exports as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="rljob_trainer.export")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--checkpoint")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    try:
        output = export(arguments.run_dir, arguments.checkpoint, arguments.out)
    except UsageError as error:
        print(error)
        return EXIT_USAGE
    print(output)
    return 0


def export(run_dir: Path, name: str | None, out: Path | None) -> Path:
    """Writes the model of checkpoint `name`, or of the newest whole one; returns the directory.

    Args:
        run_dir: of a run that was started.
        name: such as step-000020.
        out: an empty or a new directory; None: exports/<checkpoint> of the run.

    Raises:
        UsageError: there is no such checkpoint, it is damaged, or the output has files in it.
    """
    job = RLJob.model_validate_json((run_dir / "job.json").read_bytes())
    checkpoint = _chosen(run_dir, name)
    output = out or run_dir / "exports" / checkpoint.path.name
    _check_empty(output)
    try:
        _write(job, checkpoint, output)
    except FileNotFoundError as error:
        if checkpoint.path.exists():
            raise
        raise UsageError(
            f"{checkpoint.path}: the live run has removed it meanwhile "
            "(spec.schedule.keepLast); export a newer one"
        ) from error
    return output


def _chosen(run_dir: Path, name: str | None) -> Checkpoint:
    directory = run_dir / "checkpoints"
    found = Checkpoints(directory, keep_last=1).all()
    if not found:
        raise UsageError(f"{directory}: found no checkpoint, allowed a run that has saved one")
    wanted = [each for each in found if name in (None, each.path.name)]
    if not wanted:
        names = ", ".join(each.path.name for each in found)
        raise UsageError(f"--checkpoint: found {name}, allowed {names}")
    checkpoint, damages = newest_whole(wanted)
    if checkpoint is None:
        raise UsageError(f"{directory}: found no whole checkpoint: {'; '.join(damages.values())}")
    return checkpoint


def _check_empty(output: Path) -> None:
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise UsageError(f"--out: {output} is there already, allowed an empty or a new directory")


def _write(job: RLJob, checkpoint: Checkpoint, output: Path) -> None:
    os.environ |= {
        "CUDA_VISIBLE_DEVICES": "",
        "RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",  # any free port: no other process joins
    }
    # Import only after CUDA is hidden: megatron-core is adapted to the CPU when it is imported.
    import torch.distributed as dist

    from rljob_trainer.megatron.export import export as write
    from rljob_trainer.megatron.parallel import initialize

    alone = TrainerSpec(parallelism=ParallelismSpec(), optimizer=job.spec.trainer.optimizer)
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"trainer": alone})})
    write(job, initialize(job), checkpoint.model, output)
    dist.destroy_process_group()


if __name__ == "__main__":
    raise SystemExit(main())
