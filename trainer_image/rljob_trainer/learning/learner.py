"""How the models of a job score a batch and learn from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jaxtyping import Float32, Int64
from torch import Tensor

from rljob.api import RLJob
from rljob.errors import UsageError
from rljob_trainer.algorithms.algorithm import Algorithm
from rljob_trainer.algorithms.distillation import mean_teacher_kl
from rljob_trainer.algorithms.truncated import without_truncated
from rljob_trainer.checkpoints.checkpoint import CRITIC, POLICY, REFERENCE
from rljob_trainer.checkpoints.saver import Capture
from rljob_trainer.learning.critic import Critic, explained_variance
from rljob_trainer.learning.order import random_order
from rljob_trainer.learning.reference import Reference
from rljob_trainer.megatron.forward import Loss
from rljob_trainer.megatron.model import Model
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.megatron.report import LARGEST
from rljob_trainer.megatron.scorer import Scorer
from rljob_trainer.megatron.trainer import Trainer
from rljob_trainer.process.collective import Rank0
from rljob_trainer.trajectories.episode import episodes
from rljob_trainer.trajectories.global_batch import GlobalBatch
from rljob_trainer.trajectories.ratio import is_scored_in_step, with_start
from rljob_trainer.trajectories.trajectory import Trajectory


@dataclass(frozen=True)
class Lesson:
    """What came of the optimizer steps of one batch.

    Args:
        steps: the metrics of each step.
        trajectories: the batch, with the trainer's log-probabilities from before the steps.
    """

    steps: list[dict[str, float]]
    trajectories: list[Trajectory]

    @property
    def metrics(self) -> dict[str, float]:
        """Their means over the steps; the largest of those that end with "_max"."""
        by_name = {name: [step[name] for step in self.steps] for name in self.steps[0]}
        return {
            name: max(values) if name.endswith(LARGEST) else sum(values) / len(values)
            for name, values in by_name.items()
        }


class Learner:
    """The policy, and the other models that the job's algorithm needs.

    A job that only evaluates gets none of those, and no optimizer. Every rank makes the same calls
    with the same arguments.
    """

    def __init__(self, job: RLJob, parallel: Parallel, rank0: Rank0) -> None:
        """Builds the models and reads their weights.

        Raises:
            UsageError: a checkpoint, or an option of the job, is wrong.
        """
        spec = job.spec
        self._spec = spec
        self._rank0 = rank0
        self._algorithm = Algorithm(spec)
        checkpoint = Path(spec.model.checkpoint)
        self.policy = Model(job, parallel, checkpoint)
        self.log_probs = Scorer(job, self.policy)
        self._reference: Reference | None = None
        self._teacher: Scorer | None = None
        self._critic: Critic | None = None
        self._trainer: Trainer | None = None
        self._in_step = is_scored_in_step(spec)
        if not spec.schedule.trains:
            self.policy.frozen()
            return

        def frozen(field: str, path: str) -> Model:
            model = Model(job, parallel, Path(path))
            model.frozen(on_host=spec.trainer.offload_frozen_models)
            self._check_vocabulary(field, model)
            return model

        if self._algorithm.needs_reference:
            path = spec.model.reference or spec.model.checkpoint
            self._reference = Reference(job, frozen("spec.model.reference", path))
        teacher = spec.algorithm.distillation
        if teacher is not None:
            model = frozen("spec.algorithm.distillation.teacher", teacher.teacher)
            self._teacher = Scorer(job, model)
        self._trainer = Trainer(job, self.policy)
        if self._algorithm.needs_critic:
            algorithm = self._algorithm
            self._critic = Critic(job, parallel, algorithm.critic, algorithm.value_objective)
            self._check_vocabulary("spec.algorithm.critic.checkpoint", self._critic.model)

    def score(
        self,
        trajectories: Sequence[Trajectory],
        rewards: Float32[Tensor, " samples"],
        groups: Int64[Tensor, " samples"],
        rollout: int,
    ) -> list[Trajectory]:
        """Adds log-probabilities, values, and the advantages that come of them.

        Log-probabilities under the present weights are left out if the step itself will compute
        them.

        Args:
            trajectories: a whole batch, those of one sample next to each other.
            rewards: one per sample.
            groups: the number of each sample's group.
            rollout: batches trained on.
        """
        if self._spec.algorithm.mask_truncated:
            trajectories = without_truncated(trajectories)
        ours = None if self._is_in_step(rollout) else self.log_probs(trajectories)
        reference = self._reference.log_probs(trajectories) if self._reference else None
        teacher = self._teacher(trajectories) if self._teacher else None
        values = self._critic.values(trajectories) if self._critic else None
        scored = [
            trajectory.replace(
                trainer_log_probs=ours[n] if ours else None,
                reference_log_probs=reference[n] if reference else None,
                teacher_log_probs=teacher[n] if teacher else None,
                values=values[n] if values else None,
            )
            for n, trajectory in enumerate(trajectories)
        ]
        scored = self._advantages(scored, rewards, groups)
        return [with_start(trajectory, self._spec) for trajectory in scored]

    def learn(self, trajectories: Sequence[Trajectory], rollout: int) -> Lesson:
        """Makes the batch's optimizer steps, over its samples in a random order.

        Args:
            trajectories: as `score` returned them for this batch.
            rollout: batches trained on before.
        """
        assert self._trainer is not None
        trainer = self._trainer
        samples = episodes(trajectories)
        order = random_order(len(samples), seed=self._spec.seed, rollout=rollout)
        size = self._spec.schedule.global_batch_size
        parts = [
            [one for n in order[begin : begin + size] for one in samples[n].parts]
            for begin in range(0, len(order), size)
        ]
        of_critic = [self._critic.step(part) if self._critic else {} for part in parts]
        if self._is_warming_up(rollout):
            of_policy: list[dict[str, float]] = [{} for _ in parts]
        elif self._is_in_step(rollout):
            (part,) = parts
            report, ours = trainer.step_and_score(part, self._loss(part))
            of_policy = [report]
            found = {id(one): scored for one, scored in zip(part, ours, strict=True)}
            trajectories = [t.replace(trainer_log_probs=found[id(t)]) for t in trajectories]
        else:
            of_policy = [trainer.step(part, self._loss(part)) for part in parts]
        steps = [policy | critic for policy, critic in zip(of_policy, of_critic, strict=True)]
        if self._reference:
            self._reference.follow(self.policy, rollout + 1)
        of_batch: dict[str, float] = {}
        if self._critic:
            of_batch["critic/explained_variance"] = explained_variance(trajectories)
        if self._teacher:
            of_batch["kl/teacher_mean"] = mean_teacher_kl(trajectories)
        return Lesson([step | of_batch for step in steps], list(trajectories))

    @property
    def captures(self) -> Mapping[str, Capture]:
        """How to copy the state of each model that changes, by the name of its directory."""
        return {name: model.capture for name, model in self._changing.items()}

    def load(self, directory: Path) -> None:
        """Restores what `captures` have written into a checkpoint. Collective."""
        for name, model in self._changing.items():
            model.load(directory / name)

    @property
    def _changing(self) -> dict[str, Trainer | Critic | Reference]:
        """The models that a checkpoint holds, by the name of their directory."""
        models: dict[str, Trainer | Critic | Reference] = {}
        if self._trainer:
            models[POLICY] = self._trainer
        if self._critic:
            models[CRITIC] = self._critic
        if self._reference and self._reference.interval is not None:
            models[REFERENCE] = self._reference
        return models

    def _check_vocabulary(self, field: str, other: Model) -> None:
        if other.vocabulary != self.policy.vocabulary:
            raise UsageError(
                f"{field}: found a model of {other.vocabulary} tokens, allowed: the policy's "
                f"vocabulary of {self.policy.vocabulary}"
            )

    def _advantages(
        self,
        scored: Sequence[Trajectory],
        rewards: Float32[Tensor, " samples"],
        groups: Int64[Tensor, " samples"],
    ) -> list[Trajectory]:
        """The trajectories with advantages, which every rank computes from the same numbers.

        A user's function need not give the same on every rank: it runs on the first.
        """
        advantages = self._algorithm.advantages
        if advantages.custom is None:
            return advantages(scored, rewards, groups)
        found = self._rank0(lambda: [one.advantages for one in advantages(scored, rewards, groups)])
        return [one.replace(advantages=value) for one, value in zip(scored, found, strict=True)]

    def _is_in_step(self, rollout: int) -> bool:
        """Whether the next step computes the log-probabilities of its own batch.

        Not the first step if there is a reference: there the two must agree up to rounding error,
        which another order of micro-batches would change.
        """
        if self._is_warming_up(rollout):  # it makes no step
            return False
        return self._in_step and not (rollout == 0 and self._reference)

    def _is_warming_up(self, rollout: int) -> bool:
        """Whether only the critic learns from the next batch."""
        return self._critic is not None and rollout < self._critic.warmup_rollouts

    def _loss(self, part: Sequence[Trajectory]) -> Loss:
        return partial(self._algorithm.objective, whole=GlobalBatch.of(part))
