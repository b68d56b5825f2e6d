"""A model with everything that a job does with its policy."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from rljob.api import RLJob
from rljob_trainer.algorithms.objective import Objective
from rljob_trainer.megatron.forward import Loss
from rljob_trainer.megatron.model import Model
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.megatron.scorer import Scorer
from rljob_trainer.megatron.trainer import Trainer
from rljob_trainer.trajectories.global_batch import GlobalBatch
from rljob_trainer.trajectories.trajectory import Trajectory


class Policy:
    def __init__(self, job: RLJob, parallel: Parallel, checkpoint: Path) -> None:
        self.model = Model(job, parallel, checkpoint)
        self.log_probs = Scorer(job, self.model)
        self.trainer = Trainer(job, self.model)
        self._objective = Objective(
            job.spec.algorithm, longest=job.spec.rollout.sampling.max_response_tokens
        )

    def step(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        return self.trainer.step(trajectories, self._loss(trajectories))

    def step_and_score(
        self, trajectories: Sequence[Trajectory]
    ) -> tuple[dict[str, float], list[Any]]:
        return self.trainer.step_and_score(trajectories, self._loss(trajectories))

    def export(self) -> Iterator[tuple[str, Tensor]]:
        return self.model.export()

    def capture(self, directory: Path) -> Callable[[], None]:
        return self.trainer.capture(directory)

    def load(self, directory: Path) -> None:
        self.trainer.load(directory)

    def _loss(self, trajectories: Sequence[Trajectory]) -> Loss:
        return partial(self._objective, whole=GlobalBatch.of(trajectories))
