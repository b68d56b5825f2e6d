"""Optimizer steps that were skipped because their gradient was not finite."""

from collections.abc import Mapping

import structlog

from rljob_trainer.telemetry.mismatch import DivergedError

log = structlog.get_logger()

# A single bad batch is an accident and leaves the weights as they were. After five in a row nothing
# is being learned, while the engines cost as much as before.
_ALLOWED = 4
# What the metrics of a model's optimizer begin with, and the name of its loss.
_LOSSES = {"train": "loss/total", "critic": "critic/loss"}


class SkippedSteps:
    """Warns of each skipped step, and ends the job when a model skips too many in a row."""

    def __init__(self, *, is_first_rank: bool) -> None:
        """Every rank counts; the first one writes to the log."""
        self._is_first_rank = is_first_rank
        self._in_a_row = dict.fromkeys(_LOSSES, 0)

    def check(self, report: Mapping[str, float], rollout: int) -> None:
        """Checks the report of a step.

        Args:
            report: as `Trainer.step` gives it, of one or several models.
            rollout: number of the batch, from 1.

        Raises:
            DivergedError: too many steps in a row were skipped.
        """
        for model, loss in _LOSSES.items():
            if f"{model}/skipped" in report:
                norm = report[f"{model}/gradient_norm"]
                self._check(model, report[f"{model}/skipped"] > 0, rollout, norm, report[loss])

    def _check(self, model: str, skipped: bool, rollout: int, norm: float, loss: float) -> None:
        self._in_a_row[model] = in_a_row = self._in_a_row[model] + 1 if skipped else 0
        if skipped and self._is_first_rank:
            log.warning(
                "step.skipped",
                rollout=rollout,
                gradient_norm=norm,
                loss=loss,
                in_a_row=in_a_row,
                **({"model": model} if model != "train" else {}),
            )
        if in_a_row > _ALLOWED:
            of_critic = " of the critic" if model == "critic" else ""
            raise DivergedError(
                f"the gradient of {in_a_row} optimizer steps{of_critic} in a row was not finite, "
                f"the last of batch {rollout} (norm {norm}, loss {loss}); allowed: {_ALLOWED}. The "
                "weights are those before these steps. A smaller learning rate, or "
                "spec.model.dtype: float32, may help"
            )
