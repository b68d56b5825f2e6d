"""`rljob export`: the model of a run that has not ended."""

import subprocess
import sys
from pathlib import Path

from rljob.cli import full_disk
from rljob.cli.run_directory import existing
from rljob.errors import EXIT_USAGE, UsageError


def export(run_dir: Path, checkpoint: str | None, out: Path | None) -> str:
    """Writes a checkpoint as a Hugging Face directory; returns where it is.

    Raises:
        UsageError: there is no such checkpoint, the output is not empty, or its disk is full.
        RuntimeError: it failed, with what the process said.
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
        raise RuntimeError(f"{run_dir}: not exported:\n{ended.stderr}")
    return ended.stdout.strip()
