"""A policy that has lost what it had learned: told once, as a warning."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

_WINDOW = 5  # batches over which the reward is averaged, as in summary.json
# How far it must fall below the best: rewards have any scale and may be negative, so both the
# best's size and the spread of single rewards count. With 64 samples in a batch, 0.4 deviations are
# seven standard errors of the mean over five batches: noise alone is not told, not even against the
# best of a thousand batches.
_SHARE = 0.5
_DEVIATIONS = 0.4


class RewardCollapse:
    """Watches the mean reward of the last five batches, against the best such mean before."""

    def __init__(self) -> None:
        self._rewards: list[float] = []  # means of the last batches
        self._deviations: list[float] = []
        self._best: tuple[float, float] | None = None  # mean reward and deviation of the best five
        self._told = False

    def check(self, rollout: int, metrics: Mapping[str, float]) -> str | None:
        """The warning, in the batch in which it becomes due; None otherwise.

        Args:
            rollout: number of the batch, from 1.
            metrics: of the batch, with reward/mean and reward/std.
        """
        self._rewards = [*self._rewards, metrics["reward/mean"]][-_WINDOW:]
        self._deviations = [*self._deviations, metrics["reward/std"]][-_WINDOW:]
        if len(self._rewards) < _WINDOW:
            return None
        mean = fmean(self._rewards)
        if self._best is None or mean > self._best[0]:
            self._best = mean, fmean(self._deviations)
        best, deviation = self._best
        if self._told or best - mean <= max(_SHARE * abs(best), _DEVIATIONS * deviation):
            return None
        self._told = True
        return (
            f"batch {rollout}: the mean reward of the last {_WINDOW} batches is {mean:.3g}; the "
            f"best of {_WINDOW} in a row was {best:.3g}. An earlier checkpoint may be the better "
            "model; a smaller lr in spec.trainer.optimizer, or a larger "
            "spec.algorithm.kl.lossCoefficient, may keep it"
        )

    def save(self) -> dict[str, Any]:
        """Its part of a checkpoint."""
        return {
            "rewards": self._rewards,
            "deviations": self._deviations,
            "best": self._best,
            "told": self._told,
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Continues from a checkpoint."""
        self._rewards, self._deviations = list(saved["rewards"]), list(saved["deviations"])
        best = saved["best"]
        self._best = (best[0], best[1]) if best is not None else None
        self._told = saved["told"]
