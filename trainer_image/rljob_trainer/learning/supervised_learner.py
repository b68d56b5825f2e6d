"""How the policy learns the answers of a batch."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from rljob.api import RLJob
from rljob_trainer.algorithms.supervised_objective import SupervisedObjective
from rljob_trainer.checkpoints.checkpoint import POLICY
from rljob_trainer.checkpoints.saver import Capture
from rljob_trainer.learning.learner import Lesson
from rljob_trainer.learning.order import random_order
from rljob_trainer.megatron.heads import AnswerHead
from rljob_trainer.megatron.model import Model
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.megatron.trainer import Trainer
from rljob_trainer.trajectories.global_batch import GlobalBatch
from rljob_trainer.trajectories.trajectory import Trajectory


class SupervisedLearner:
    """The policy alone: no other model scores anything.

    Every rank makes the same calls with the same arguments.
    """

    def __init__(self, job: RLJob, parallel: Parallel) -> None:
        """Builds the model and reads its weights.

        Raises:
            UsageError: the checkpoint, or an option of the job, is wrong.
        """
        spec = job.spec
        self._seed = spec.seed
        self._size = spec.schedule.global_batch_size
        self._objective = SupervisedObjective(
            spec.algorithm, longest=spec.rollout.sampling.max_response_tokens
        )
        self.policy = Model(job, parallel, Path(spec.model.checkpoint))
        head = AnswerHead(self.policy.language_head)
        self._trainer = Trainer(job, self.policy, head=head)

    def learn(self, trajectories: Sequence[Trajectory], rollout: int) -> Lesson:
        """Makes the batch's optimizer steps, over its trajectories in a random order.

        Args:
            trajectories: a whole batch.
            rollout: batches trained on before.
        """
        order = random_order(len(trajectories), seed=self._seed, rollout=rollout)
        steps = []
        for begin in range(0, len(order), self._size):
            part = [trajectories[n] for n in order[begin : begin + self._size]]
            loss = partial(self._objective, whole=GlobalBatch.of(part))
            steps.append(self._trainer.step(part, loss))
        return Lesson(steps, list(trajectories))

    @property
    def captures(self) -> Mapping[str, Capture]:
        """How to copy the state of the policy, by the name of its directory."""
        return {POLICY: self._trainer.capture}

    def load(self, directory: Path) -> None:
        """Restores what `captures` have written into a checkpoint. Collective."""
        self._trainer.load(directory / POLICY)
