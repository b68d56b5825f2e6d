"""The advantages of a rollout batch, from the job's algorithm."""

from collections.abc import Sequence

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rljob.api.algorithm import AlgorithmSpec
from rljob.api.estimator import advantage_of
from rljob_trainer.algorithms.custom_advantage import load_custom_advantage
from rljob_trainer.algorithms.distillation import distilled
from rljob_trainer.algorithms.gae import gae
from rljob_trainer.algorithms.grpo import grpo_advantages
from rljob_trainer.algorithms.kl import kl_divergence
from rljob_trainer.algorithms.rloo import rloo_advantages
from rljob_trainer.algorithms.token_rewards import token_rewards
from rljob_trainer.algorithms.whitening import whiten
from rljob_trainer.trajectories.trajectory import Trajectory


class Advantages:
    """Turns the rewards of a whole rollout batch into one advantage per token."""

    def __init__(self, spec: AlgorithmSpec) -> None:
        """Reads the settings.

        Raises:
            UsageError: the estimator is not supported, or a function cannot be loaded.
        """
        self._spec = spec
        self._name = advantage_of(spec)
        self.custom = load_custom_advantage(spec)

    def __call__(
        self,
        trajectories: Sequence[Trajectory],
        rewards: Float32[Tensor, " samples"],
        groups: Int64[Tensor, " samples"],
    ) -> list[Trajectory]:
        """The samples with the advantage of each token; with a critic, also with what it learns.

        Args:
            trajectories: all samples of the batch. A penalty in the reward needs their
                log-probabilities under the trainer and the reference, distillation those of the
                teacher, GAE their values.
            rewards: one per sample.
            groups: the group number of each sample.
        """
        returns: list[Float32[Tensor, " _"]] | None = None
        masks = self._spec.mask_truncated
        valid = torch.tensor([not (masks and one.truncated) for one in trajectories])
        match self._name:
            case "grpo":
                of_samples = grpo_advantages(
                    rewards, groups, normalize_std=self._spec.normalize_std, valid=valid
                )
                advantages = _spread(of_samples, trajectories)
            case "rloo":
                advantages = _spread(rloo_advantages(rewards, groups, valid), trajectories)
            case "reinforce++":
                advantages = _whitened(self._gae(trajectories, rewards, None), trajectories)
            case "gae":
                values = [_values(one) for one in trajectories]
                above = self._gae(trajectories, rewards, values)
                returns = [a + v for a, v in zip(above, values, strict=True)]
                advantages = _whitened(above, trajectories)
            case "reinforce++-baseline":
                above_mean = grpo_advantages(rewards, groups, normalize_std=False, valid=valid)
                paid = [
                    value - self._penalties(one)
                    for value, one in zip(
                        _spread(above_mean, trajectories), trajectories, strict=True
                    )
                ]
                advantages = _whitened(paid, trajectories)
            case _:
                assert self.custom is not None
                advantages = self.custom(rewards, groups, [one.loss_mask for one in trajectories])
        found = [
            one.replace(advantages=advantages[n], returns=returns[n] if returns else None)
            for n, one in enumerate(trajectories)
        ]
        distillation = self._spec.distillation
        return distilled(found, distillation.coefficient) if distillation else found

    def _gae(
        self,
        trajectories: Sequence[Trajectory],
        rewards: Float32[Tensor, " samples"],
        values: Sequence[Float32[Tensor, " _"]] | None,
    ) -> list[Float32[Tensor, " _"]]:
        """Generalized advantages of each sample's tokens.

        Without values they are the discounted sums of what is earned from the token on, which are
        the returns of REINFORCE++.
        """
        masks = pad_sequence([one.loss_mask for one in trajectories], batch_first=True)
        penalties = pad_sequence([self._penalties(one) for one in trajectories], batch_first=True)
        found = gae(
            token_rewards(rewards, penalties, masks),
            torch.zeros_like(masks) if values is None else pad_sequence(list(values), True),
            masks,
            discount=self._spec.discount,
            decay=1.0 if values is None else self._spec.gae_lambda,
        )
        return [row[: one.response_length] for row, one in zip(found, trajectories, strict=True)]

    def _penalties(self, trajectory: Trajectory) -> Float32[Tensor, " response"]:
        """What each token pays for leaving the reference."""
        kl = self._spec.kl
        ours, reference = trajectory.trainer_log_probs, trajectory.reference_log_probs
        if not kl.reward_coefficient:
            return trajectory.loss_mask * 0
        assert ours is not None and reference is not None
        # Tokens that are not learned may hold anything.
        log_ratio = (ours - reference).where(trajectory.loss_mask > 0, 0)
        return kl.reward_coefficient * kl_divergence(log_ratio, kl.estimator, clamp=kl.clamp)


def _values(trajectory: Trajectory) -> Float32[Tensor, " _"]:
    assert trajectory.values is not None
    return trajectory.values


def _whitened(
    values: Sequence[Float32[Tensor, " _"]], trajectories: Sequence[Trajectory]
) -> list[Float32[Tensor, " _"]]:
    return whiten(values, [one.loss_mask for one in trajectories])


def _spread(
    of_samples: Float32[Tensor, " samples"], trajectories: Sequence[Trajectory]
) -> list[Float32[Tensor, " _"]]:
    """The same advantage for all tokens of a sample."""
    return [
        value.expand_as(one.loss_mask) for value, one in zip(of_samples, trajectories, strict=True)
    ]
