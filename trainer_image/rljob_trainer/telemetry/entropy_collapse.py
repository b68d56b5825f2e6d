"""A policy that has stopped exploring: told once, as a warning."""

import math
from collections.abc import Mapping
from typing import Any

# Of the first batch's entropy. The entropy of language models falls by a half or more in a healthy
# run (DAPO, arXiv 2503.14476, figure 2b); at a twentieth nearly all samples of a prompt are alike.
_SHARE = 0.05
_BATCHES = 5  # in a row: a single batch may be of easy prompts


class EntropyCollapse:
    """Watches the mean entropy per token, `loss/entropy`."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._in_a_row = 0
        self._told = False

    def check(self, rollout: int, metrics: Mapping[str, float]) -> str | None:
        """The warning, in the batch in which it becomes due; None otherwise.

        Batches without a finite entropy, such as those from which only a critic learns, are passed
        over.

        Args:
            rollout: number of the batch, from 1.
            metrics: of the batch.
        """
        entropy = metrics.get("loss/entropy", math.nan)
        if not math.isfinite(entropy):
            return None
        if self._first is None:
            self._first = entropy
        self._in_a_row = self._in_a_row + 1 if entropy < _SHARE * self._first else 0
        if self._in_a_row < _BATCHES or self._told:
            return None
        self._told = True
        return (
            f"batch {rollout}: the entropy is {entropy:.3g} nats, and has been below "
            f"{_SHARE:.0%} of the first batch's, {self._first:.3g}, for {_BATCHES} batches: the "
            "policy hardly explores. Where the reward is still to rise, a larger "
            "spec.algorithm.entropyCoefficient or spec.algorithm.clip.high may help"
        )

    def save(self) -> dict[str, Any]:
        """Its part of a checkpoint."""
        return {"first": self._first, "in_a_row": self._in_a_row, "told": self._told}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Continues from a checkpoint."""
        self._first, self._told = saved["first"], saved["told"]
        self._in_a_row = saved["in_a_row"]
