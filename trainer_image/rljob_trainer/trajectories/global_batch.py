"""The size of a global batch: what a mean over it divides by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from rljob_trainer.trajectories.episode import episodes
from rljob_trainer.trajectories.trajectory import Trajectory


@dataclass(frozen=True)
class GlobalBatch:
    """All samples of one optimizer step, over all micro-batches and data-parallel ranks.

    A micro-batch divides by these numbers instead of its own, so that the parts of all of them add
    up to the mean over the global batch.

    Args:
        samples: the number of samples.
        tokens: the number of their tokens that are learned.
    """

    samples: int
    tokens: int

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> Self:
        """The size of a batch of these samples."""
        return cls(
            samples=len(episodes(trajectories)),
            tokens=sum(int((one.loss_mask > 0).sum()) for one in trajectories),
        )
