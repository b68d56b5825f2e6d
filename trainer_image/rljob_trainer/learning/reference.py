"""The reference: frozen weights that the policy is kept near."""

from collections.abc import Callable, Sequence
from pathlib import Path

from jaxtyping import Float32
from torch import Tensor

from rljob.api import RLJob
from rljob_trainer.megatron.checkpoint import Weights
from rljob_trainer.megatron.model import Model
from rljob_trainer.megatron.scorer import Scorer
from rljob_trainer.trajectories.trajectory import Trajectory


class Reference:
    """A model that stays as it is, or becomes the policy of the time every few batches."""

    def __init__(self, job: RLJob, model: Model) -> None:
        """Takes a model that is frozen."""
        self.interval = job.spec.algorithm.kl.reference_interval
        self._model = model
        self._log_probs = Scorer(job, model)
        self._weights = Weights(model.chunks, model.parallel)

    def log_probs(self, trajectories: Sequence[Trajectory]) -> list[Float32[Tensor, " response"]]:
        """Log-probabilities of each trajectory's response tokens."""
        return self._log_probs(trajectories)

    def follow(self, policy: Model, rollout: int) -> None:
        """Becomes the policy if that is due after `rollout` batches. Collective."""
        if self.interval is not None and rollout % self.interval == 0:
            self._model.copy(policy)

    def capture(self, directory: Path) -> Callable[[], None]:
        """As `Trainer.capture`, of the weights alone."""
        return self._weights.capture(directory)

    def load(self, directory: Path) -> None:
        """Restores what `capture` has written. Collective."""
        self._weights.load(directory)
