"""The advantages that a batch was trained with."""

import math
from collections.abc import Sequence

import torch

from rljob_trainer.trajectories.trajectory import Trajectory


def advantage_metrics(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Mean, standard deviation, smallest and largest advantage of the tokens that are learned.

    verl's `critic/advantages/*` (compute_data_metrics of verl/trainer/ppo/metric_utils.py), which
    has no deviation. Each token counts the same, so with one advantage per response long responses
    count more. NaN where no token is learned, which charts show as a gap.

    Args:
        trajectories: a batch with advantages.
    """
    found = [
        one.advantages[one.loss_mask > 0] for one in trajectories if one.advantages is not None
    ]
    advantages = torch.cat([torch.zeros(0), *found])
    if not len(advantages):
        return {f"advantage/{name}": math.nan for name in ("mean", "std", "min", "max")}
    return {
        "advantage/mean": advantages.mean().item(),
        "advantage/std": advantages.std(correction=0).item(),
        "advantage/min": advantages.min().item(),
        "advantage/max": advantages.max().item(),
    }
