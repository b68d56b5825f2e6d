"""Log-probabilities or values of trajectories, without a gradient."""

from collections.abc import Sequence

from jaxtyping import Float32
from torch import Tensor

from rljob.api import RLJob
from rljob_trainer.megatron.forward import Forward
from rljob_trainer.megatron.model import Model
from rljob_trainer.megatron.share import Share
from rljob_trainer.trajectories.trajectory import Trajectory


class Scorer:
    """Scores response tokens with a model. Every rank makes the same calls."""

    def __init__(self, job: RLJob, model: Model) -> None:
        """The model's weights may change between two calls."""
        self._spec = job.spec.trainer
        self._model = model
        temperature = job.spec.rollout.sampling.temperature
        self._forward = Forward(model.chunks, model.head, temperature=temperature)

    def __call__(
        self, trajectories: Sequence[Trajectory], *, temperature: float | None = None
    ) -> list[Float32[Tensor, " response"]]:
        """Log-probabilities, or values, of each trajectory's response tokens, on the CPU.

        At the temperature of the job's sampling, unless another is given.
        """
        if not trajectories:
            return []
        share = Share(self._spec, self._model.parallel, trajectories)
        with self._model.resident():
            found = self._forward.score(share.batches, temperature=temperature)
        return share.merged(found)
