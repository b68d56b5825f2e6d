"""The critic: a second model, which learns what a response will earn."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from rljob.api import RLJob
from rljob.api.algorithm import CriticSpec
from rljob_trainer.algorithms.value_objective import ValueObjective
from rljob_trainer.megatron.model import Model
from rljob_trainer.megatron.optimizer import DEFAULT_RATE, OptimizerOptions
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.megatron.scorer import Scorer
from rljob_trainer.megatron.trainer import Trainer
from rljob_trainer.trajectories.global_batch import GlobalBatch
from rljob_trainer.trajectories.trajectory import Trajectory


class Critic:
    """A model of the policy's kind with a value head, and its own optimizer.

    It has the policy's layout. Every rank makes the same calls with the same arguments.
    """

    def __init__(
        self, job: RLJob, parallel: Parallel, spec: CriticSpec, objective: ValueObjective
    ) -> None:
        """Builds the model and reads its weights.

        Raises:
            UsageError: the checkpoint can't be used.
        """
        checkpoint = Path(spec.checkpoint or job.spec.model.checkpoint)
        model = Model(job, parallel, checkpoint, values=True)
        self.model = model
        self.warmup_rollouts = spec.warmup_rollouts
        self._objective = objective
        self._values = Scorer(job, model)
        options = _options(job.spec.trainer.optimizer, spec.learning_rate)
        self._trainer = Trainer(job, model, options=options, name="critic")

    def values(self, trajectories: Sequence[Trajectory]) -> list[Float32[Tensor, " response"]]:
        """The value of the state before each response token."""
        return self._values(trajectories)

    def step(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """One optimizer step over exactly these trajectories, the global batch."""
        loss = partial(self._objective, whole=GlobalBatch.of(trajectories))
        return self._trainer.step(trajectories, loss)

    def capture(self, directory: Path) -> Callable[[], None]:
        """As `Trainer.capture`."""
        return self._trainer.capture(directory)

    def load(self, directory: Path) -> None:
        """Restores what `capture` has written. Collective."""
        self._trainer.load(directory)


def explained_variance(trajectories: Sequence[Trajectory]) -> float:
    """1 - variance of (returns - values) / variance of returns, over the tokens that are learned.

    1: the critic knows everything; 0: no more than the mean; NaN, which charts show as a gap, if
    all returns are equal or there are none.
    """
    returns, values = [], []
    for one in trajectories:
        assert one.returns is not None and one.values is not None
        returns.append(one.returns[one.loss_mask > 0])
        values.append(one.values[one.loss_mask > 0])
    wanted, found = torch.cat(returns), torch.cat(values)
    if bool((wanted == wanted[:1]).all()):  # also if there are none
        return torch.nan
    return (1 - (wanted - found).var(correction=0) / wanted.var(correction=0)).item()


def _options(given: dict[str, Any], rate: float | None) -> OptimizerOptions:
    """The policy's options, with the learning rate of the schedule scaled to `rate`."""
    field = "spec.trainer.optimizer"
    if rate is None:
        return OptimizerOptions(field, given)
    scale = rate / float(given.get("lr", DEFAULT_RATE))
    scaled: dict[str, Any] = {
        name: given[name] * scale for name in ("min_lr", "init_lr") if name in given
    }
    return OptimizerOptions(field, {**given, **scaled, "lr": rate})
