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
from rljob_trainer.trajectories.episode import Episode, episodes
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
        """The trajectories with each token's advantage; with a critic, also with what it learns.

        Args:
            trajectories: of all samples of the batch, those of one sample next to each other. The
                sample are one episode, in this order. A penalty in the reward needs their
                log-probabilities under the trainer and the reference, distillation those of the
                teacher, GAE their values.
            rewards: one per sample.
            groups: the group number of each sample.
        """
        samples = episodes(trajectories)
        returns: list[Float32[Tensor, " _"]] | None = None
        masks = self._spec.mask_truncated
        valid = torch.tensor([not (masks and one.is_truncated) for one in samples])
        match self._name:
            case "grpo":
                of_samples = grpo_advantages(
                    rewards, groups, normalize_std=self._spec.normalize_std, valid=valid
                )
                advantages = _spread(of_samples, samples)
            case "rloo":
                advantages = _spread(rloo_advantages(rewards, groups, valid), samples)
            case "reinforce++":
                advantages = _whitened(self._gae(samples, rewards, None), samples)
            case "gae":
                values = [one.values for one in samples]
                above = self._gae(samples, rewards, values)
                returns = [a + v for a, v in zip(above, values, strict=True)]
                advantages = _whitened(above, samples)
            case "reinforce++-baseline":
                above_mean = grpo_advantages(rewards, groups, normalize_std=False, valid=valid)
                paid = [
                    value - self._penalties(one)
                    for value, one in zip(_spread(above_mean, samples), samples, strict=True)
                ]
                advantages = _whitened(paid, samples)
            case _:
                assert self.custom is not None
                advantages = self.custom(rewards, groups, [one.loss_mask for one in samples])
        found = [
            part.replace(advantages=advantage, returns=value)
            for n, one in enumerate(samples)
            for part, advantage, value in zip(
                one.parts,
                one.split(advantages[n]),
                one.split(returns[n]) if returns else [None] * len(one.parts),
                strict=True,
            )
        ]
        distillation = self._spec.distillation
        return distilled(found, distillation.coefficient) if distillation else found

    def _gae(
        self,
        samples: Sequence[Episode],
        rewards: Float32[Tensor, " samples"],
        values: Sequence[Float32[Tensor, " _"]] | None,
    ) -> list[Float32[Tensor, " _"]]:
        """Generalized advantages of each sample's tokens.

        Without values they are the discounted sums of what is earned from the token on, which are
        the returns of REINFORCE++.
        """
        masks = pad_sequence([one.loss_mask for one in samples], batch_first=True)
        given = pad_sequence([one.token_rewards for one in samples], batch_first=True)
        penalties = pad_sequence([self._penalties(one) for one in samples], batch_first=True)
        found = gae(
            token_rewards(rewards, given, penalties, masks),
            torch.zeros_like(masks) if values is None else pad_sequence(list(values), True),
            masks,
            discount=self._spec.discount,
            decay=1.0 if values is None else self._spec.gae_lambda,
        )
        return [row[: len(one.loss_mask)] for row, one in zip(found, samples, strict=True)]

    def _penalties(self, sample: Episode) -> Float32[Tensor, " response"]:
        """What each token pays for leaving the reference."""
        return torch.cat([self._penalties_of(one) for one in sample.parts])

    def _penalties_of(self, trajectory: Trajectory) -> Float32[Tensor, " response"]:
        kl = self._spec.kl
        ours, reference = trajectory.trainer_log_probs, trajectory.reference_log_probs
        if not kl.reward_coefficient:
            return trajectory.loss_mask * 0
        assert ours is not None and reference is not None
        # Tokens that are not learned may hold anything.
        log_ratio = (ours - reference).where(trajectory.loss_mask > 0, 0)
        return kl.reward_coefficient * kl_divergence(log_ratio, kl.estimator, clamp=kl.clamp)


def _whitened(
    values: Sequence[Float32[Tensor, " _"]], samples: Sequence[Episode]
) -> list[Float32[Tensor, " _"]]:
    return whiten(values, [one.loss_mask for one in samples])


def _spread(
    of_samples: Float32[Tensor, " samples"], samples: Sequence[Episode]
) -> list[Float32[Tensor, " _"]]:
    """The same advantage for all tokens of a sample."""
    return [value.expand_as(one.loss_mask) for value, one in zip(of_samples, samples, strict=True)]
