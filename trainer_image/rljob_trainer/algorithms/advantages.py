"""The advantages of a rollout batch, from the job's algorithm."""

from collections.abc import Sequence

from jaxtyping import Float32, Int64
from torch import Tensor

from rljob.api.algorithm import AlgorithmSpec
from rljob_trainer.algorithms.grpo import grpo_advantages
from rljob_trainer.algorithms.kl import kl_divergence
from rljob_trainer.algorithms.preset import preset
from rljob_trainer.algorithms.reinforce_plus_plus import penalized_returns
from rljob_trainer.algorithms.rloo import rloo_advantages
from rljob_trainer.algorithms.whitening import whiten
from rljob_trainer.trajectories.trajectory import Trajectory


class Advantages:
    """Turns the rewards of a whole rollout batch into one advantage per token."""

    def __init__(self, spec: AlgorithmSpec) -> None:
        """Reads the settings.

        Raises:
            UsageError: the estimator is not supported.
        """
        self._spec = spec
        self._name = preset(spec.estimator).advantage

    def __call__(
        self,
        trajectories: Sequence[Trajectory],
        rewards: Float32[Tensor, " samples"],
        groups: Int64[Tensor, " samples"],
    ) -> list[Float32[Tensor, " _"]]:
        """The advantages of each sample's tokens.

        Args:
            trajectories: all samples of the batch. A penalty in the reward needs their
                log-probabilities under the trainer and the reference.
            rewards: one per sample.
            groups: the group number of each sample.
        """
        match self._name:
            case "grpo":
                of_samples = grpo_advantages(
                    rewards, groups, normalize_std=self._spec.normalize_std
                )
                return _spread(of_samples, trajectories)
            case "rloo":
                return _spread(rloo_advantages(rewards, groups), trajectories)
            case "reinforce++":
                values = [
                    penalized_returns(reward, self._penalties(one), one.loss_mask)
                    for reward, one in zip(rewards.tolist(), trajectories, strict=True)
                ]
            case "reinforce++-baseline":
                above_mean = grpo_advantages(rewards, groups, normalize_std=False)
                values = [
                    value - self._penalties(one)
                    for value, one in zip(
                        _spread(above_mean, trajectories), trajectories, strict=True
                    )
                ]
        return whiten(values, [one.loss_mask for one in trajectories])

    def _penalties(self, trajectory: Trajectory) -> Float32[Tensor, " response"]:
        """What each token pays for leaving the reference."""
        kl = self._spec.kl
        ours, reference = trajectory.trainer_log_probs, trajectory.reference_log_probs
        if not kl.reward_coefficient:
            return trajectory.loss_mask * 0
        assert ours is not None and reference is not None
        # Tokens that are not learned may hold anything.
        log_ratio = (ours - reference).where(trajectory.loss_mask > 0, 0)
        return kl.reward_coefficient * kl_divergence(log_ratio, kl.estimator)


def _spread(
    of_samples: Float32[Tensor, " samples"], trajectories: Sequence[Trajectory]
) -> list[Float32[Tensor, " _"]]:
    """The same advantage for all tokens of a sample."""
    return [
        value.expand_as(one.loss_mask) for value, one in zip(of_samples, trajectories, strict=True)
    ]
