"""A sample's trajectories as one episode."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from rljob_trainer.trajectories.trajectory import Trajectory


@dataclass(frozen=True)
class Episode:
    """All that followed a prompt: the tokens of one trajectory, or of several in their order.

    Advantages are of episodes: what the last trajectory earns, an earlier one has led to.
    """

    parts: tuple[Trajectory, ...]

    @property
    def loss_mask(self) -> Float32[Tensor, " response"]:
        """Above 0 for tokens that are learned."""
        return torch.cat([one.loss_mask for one in self.parts])

    @property
    def values(self) -> Float32[Tensor, " response"]:
        """The critic's, which every trajectory must have."""
        found = [one.values for one in self.parts if one.values is not None]
        assert len(found) == len(self.parts)
        return torch.cat(found)

    @property
    def token_rewards(self) -> Float32[Tensor, " response"]:
        """What single tokens earn."""
        return torch.cat(
            [
                torch.zeros_like(one.loss_mask) if one.token_rewards is None else one.token_rewards
                for one in self.parts
            ]
        )

    @property
    def is_truncated(self) -> bool:
        """Whether it was cut at a limit."""
        return any(one.truncated for one in self.parts)

    def split(self, values: Float32[Tensor, " response"]) -> list[Float32[Tensor, " _"]]:
        """Values of its tokens, for each trajectory."""
        return list(torch.split(values, [one.response_length for one in self.parts]))


def episodes(trajectories: Sequence[Trajectory]) -> list[Episode]:
    """The episodes of trajectories, those of one sample next to each other."""
    parts: list[list[Trajectory]] = []
    for one in trajectories:
        if parts and one.sample is not None and parts[-1][0].sample == one.sample:
            parts[-1].append(one)
        else:
            parts.append([one])
    return [Episode(tuple(each)) for each in parts]
