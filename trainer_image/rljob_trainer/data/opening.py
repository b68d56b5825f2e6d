"""Opens the source of prompts that a job names."""

from pathlib import Path

from rljob.api import RLJobSpec
from rljob.slime.arguments import arguments_of
from rljob_trainer.data.answer import Answers
from rljob_trainer.data.custom import CustomSource
from rljob_trainer.data.jsonl import JsonlSource
from rljob_trainer.data.source import PromptSource
from rljob_trainer.data.tokenizer import PromptTokenizer


def index_directory(run_dir: Path) -> Path:
    """Where a run keeps the indexes of its files."""
    return run_dir / "index"


def open_source(
    job: RLJobSpec, tokenizer: PromptTokenizer, run_dir: Path, *, answers: Answers | None = None
) -> PromptSource:
    """Opens `data.source` if given, otherwise the files of `data.prompts`.

    Args:
        job: the spec.
        tokenizer: the model's.
        run_dir: of the run, which keeps the indexes of files.
        answers: makes answers of labels, where they are learned.

    Raises:
        UsageError: the source, or a file, can't be used.
    """
    if job.data.source is not None:
        return CustomSource(
            job.data,
            tokenizer,
            job.seed,
            rewards=job.rollout.all_rewards,
            arguments=arguments_of(job),
            directory=run_dir / "source",
            answers=answers,
        )
    return JsonlSource(
        job.data,
        job.data.prompts,
        tokenizer,
        job.seed,
        index_directory(run_dir),
        rewards=job.rollout.all_rewards,
        answers=answers,
        workers=job.trainer.data_workers,
    )
