"""Optimizer steps that were skipped because their gradient was not finite."""

from collections.abc import Mapping

import structlog

from rljob_trainer.telemetry.mismatch import DivergedError

log = structlog.get_logger()

# A single bad batch is an accident and leaves the weights as they were. After five in a row nothing
# is being learned, while the engines cost as much as before.
_ALLOWED = 4


class SkippedSteps:
    """Warns of each skipped step, and ends the job when there are too many in a row."""

    def __init__(self, *, is_first_rank: bool) -> None:
        """Every rank counts; the first one writes to the log."""
        self._is_first_rank = is_first_rank
        self._in_a_row = 0

    def check(self, report: Mapping[str, float], rollout: int) -> None:
        """Checks the report of a step.

        Args:
            report: as `Trainer.step` gives it.
            rollout: number of the batch, from 1.

        Raises:
            DivergedError: too many steps in a row were skipped.
        """
        if not report["train/skipped"]:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        if self._is_first_rank:
            log.warning(
                "step.skipped",
                rollout=rollout,
                gradient_norm=report["train/gradient_norm"],
                loss=report["loss/total"],
                in_a_row=self._in_a_row,
            )
        if self._in_a_row > _ALLOWED:
            raise DivergedError(
                f"the gradient of {self._in_a_row} optimizer steps in a row was not finite, the "
                f"last of batch {rollout} (norm {report['train/gradient_norm']}, loss "
                f"{report['loss/total']}); allowed: {_ALLOWED}. The weights are those before these "
                "steps. A smaller learning rate, or spec.model.dtype: float32, may help"
            )
