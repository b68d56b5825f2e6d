"""Weights & Biases: the same numbers as in TensorBoard, in a run of `tracking.wandb.project`."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import structlog

from rljob.api import RLJob
from rljob.api.tracking import WandbSpec
from rljob.buffer.owner import owner_of
from rljob.errors import UsageError
from rljob_trainer.samples.evaluation import EvaluationResult
from rljob_trainer.telemetry.hyperparameters import hyperparameters

log = structlog.get_logger()

_FIELD = "spec.tracking.wandb"
# By default wandb waits at the end until all is sent, for days if need be, while GPUs are held.
_FINISH_SECONDS = 120.0


class WeightsAndBiases:
    """A run there. A process that resumes a run continues it under the same identity.

    Whether it is online, and with which key, the variables WANDB_MODE and WANDB_API_KEY say, as
    everywhere with wandb. Once begun, wandb sends from a process of its own and repeats what fails:
    training does not wait for it, except at the end.
    """

    def __init__(self, run_dir: Path, job: RLJob, spec: WandbSpec) -> None:
        """Begins or continues the run; its files are in `run_dir`/wandb.

        Raises:
            UsageError: the package is missing, or the run can't be begun, e.g. without a key.
        """
        try:
            import wandb
        except ImportError as error:
            raise UsageError(
                f"{_FIELD}: found project {spec.project}, allowed null: the package wandb can't be "
                f"imported ({error}); install rljob's extra: pip install 'rljob[wandb]'"
            ) from error
        try:
            self._run = wandb.init(
                project=spec.project,
                group=spec.group,
                name=job.metadata.name,
                id=hashlib.sha256(owner_of(run_dir).id.encode()).hexdigest()[:16],
                resume="allow",
                dir=run_dir,
                config=hyperparameters(job),
                # Nothing but numbers: not the output of this process, nor its code.
                settings=wandb.Settings(
                    console="off",
                    disable_git=True,
                    save_code=False,
                    silent=True,
                    finish_timeout=_FINISH_SECONDS,
                ),
            )
        except wandb.errors.Error as error:
            raise UsageError(
                f"{_FIELD}: project {spec.project} can't be used: {error}; WANDB_API_KEY must hold "
                "a key; WANDB_MODE=offline only writes files, for `wandb sync`"
            ) from error
        log.info("wandb.started", project=spec.project, id=self._run.id, url=self._run.url)

    def batch(self, rollout: int, metrics: Mapping[str, float]) -> None:
        """Logs a batch's metrics at the step `rollout`.

        wandb keeps the first values of a step that comes again after a resume.
        """
        self._run.log(dict(metrics), step=rollout)

    def evaluation(self, rollout: int, result: EvaluationResult) -> None:
        """Logs the evaluation of a data set after `rollout` batches."""
        numbers = result.score.numbers()
        self._run.log(
            {f"eval/{result.name}/{name}": value for name, value in numbers.items()}, step=rollout
        )

    def close(self) -> None:
        """Waits until everything is sent, or written, for two minutes at most.

        What was not sent by then stays in the run directory, for `wandb sync`.
        """
        self._run.finish()
