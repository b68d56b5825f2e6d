"""TensorBoard: curves, texts to read, and the settings that runs are compared by."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from rljob.api import RLJob
from rljob_trainer.samples.evaluation import EvaluationResult
from rljob_trainer.telemetry.headline import REWARD, Headline
from rljob_trainer.telemetry.hyperparameters import hyperparameters

_TEXT_INTERVAL = 10  # batches


class TensorBoard:
    """Event files of a run. Nothing is written before the first number."""

    def __init__(self, directory: Path, job: RLJob, headline: Headline = REWARD) -> None:
        self._directory = directory
        self._headline = headline
        self._job = job
        self._writer: SummaryWriter | None = None

    def batch(
        self, rollout: int, metrics: Mapping[str, float], samples: Sequence[dict[str, Any]]
    ) -> None:
        """Writes a batch's metrics, and every few batches some of its samples."""
        writer = self._open(rollout)
        for name, value in metrics.items():
            writer.add_scalar(name, value, rollout)
        if rollout == 1 or rollout % _TEXT_INTERVAL == 0:
            writer.add_text("samples", _table(samples), rollout)

    def evaluation(self, rollout: int, result: EvaluationResult) -> None:
        """Writes the evaluation of a data set after `rollout` batches."""
        writer = self._open(rollout)
        for name, value in result.score.numbers().items():
            writer.add_scalar(f"eval/{result.name}/{name}", value, rollout)
        writer.add_text(f"eval/{result.name}/samples", _table(result.samples), rollout)

    def close(self) -> None:
        """Flushes what is written."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, rollout: int) -> SummaryWriter:
        if self._writer is None:
            # After a rewind, purge_step hides the points that were written after the checkpoint.
            self._writer = SummaryWriter(str(self._directory), purge_step=rollout, flush_secs=10)
            self._write_hparams(self._writer)
        return self._writer

    def _write_hparams(self, writer: SummaryWriter) -> None:
        """Writes settings for the HPARAMS tab; `add_hparams` would create a separate run."""
        metrics = [self._headline.metric] + [
            f"eval/{e.name}/reward" for e in self._job.spec.evaluation
        ]
        made: Any = hparams  # torch has no types for it, nor for the writer below
        file: Any = writer
        for summary in made(hyperparameters(self._job), dict.fromkeys(metrics, 0.0)):
            file._get_file_writer().add_summary(summary)


def _table(samples: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table, escaped so that a model's output cannot end a cell or a row."""
    rows = [
        "| " + " | ".join(_cell(sample.get(key)) for key in ("prompt", "response", "label")) + " | "
        f"{_reward(sample)} |"
        for sample in samples
    ]
    return "\n".join(["| prompt | response | label | reward |", "| --- | --- | --- | --- |", *rows])


def _reward(sample: Mapping[str, Any]) -> str:
    """Of an answer from the data there is none."""
    return f"{float(sample['reward']):.3g}" if "reward" in sample else ""


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = text.encode(errors="replace").decode().replace("|", "&#124;").replace("`", "&#96;")
    return "<br>".join(shown.replace("<", "&lt;").splitlines()) or " "
