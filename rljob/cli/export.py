"""`rljob export`: a checkpoint of a run, finished or not, as a Hugging Face model."""

import subprocess
import sys
from pathlib import Path

from rljob.cli import full_disk
from rljob.cli.run_directory import existing
from rljob.errors import EXIT_USAGE, UsageError


def export(run_dir: Path, checkpoint: str | None, out: Path | None) -> str:
    """Write a checkpoint as a Hugging Face directory, and return its path.

    Raises:
        UsageError: there is no such checkpoint, the output is not empty, or its disk is full.
        RuntimeError: the export failed; has the output of the process.
    """
    command = [sys.executable, "-m", "rljob_trainer.export", str(existing(run_dir).path)]
    if checkpoint is not None:
        command += ["--checkpoint", checkpoint]
    if out is not None:
        command += ["--out", str(out)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode == EXIT_USAGE:
        raise UsageError(ended.stdout.strip())
    if ended.returncode and full_disk.tells_of_full_disk(ended.stderr.splitlines()):
        raise UsageError(full_disk.advice(out or run_dir))
    if ended.returncode:
        raise RuntimeError(f"{run_dir}: export failed:\n{ended.stderr}")
    return ended.stdout.strip()
