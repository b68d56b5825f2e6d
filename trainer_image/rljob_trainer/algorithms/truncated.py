"""Responses that were cut at their maximum length."""

from collections.abc import Sequence

import torch

from rljob_trainer.trajectories.trajectory import Trajectory


def without_truncated(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """The trajectories, where nothing of those that were cut is learned.

    DAPO's overlong filtering (arXiv 2503.14476, section 3.4): the reward of an unfinished response
    says little about how it was going.
    """
    return [
        one.replace(loss_mask=torch.zeros_like(one.loss_mask)) if one.truncated else one
        for one in trajectories
    ]
