"""Jobs and trajectories for tests of the policy."""

from pathlib import Path
from typing import Any

import torch

from rljob.api import RLJob
from rljob_trainer.trajectories.trajectory import Trajectory


def make_job(checkpoint: Path, **spec: Any) -> RLJob:
    """A job of one process; `spec` replaces parts of its spec."""
    fields = {
        "model": {"checkpoint": str(checkpoint)},
        "data": {"prompts": ["unused.jsonl"]},
        "schedule": {"rollouts": 10, "rolloutBatchSize": 2, "globalBatchSize": 16},
        "trainer": {"optimizer": {"lr": 1e-2, "weight_decay": 0.01}},
        **spec,
    }
    return RLJob.model_validate(
        {
            "apiVersion": "rljob.dev/v1alpha1",
            "kind": "RLJob",
            "metadata": {"name": "test"},
            "spec": fields,
        }
    )


def make_trajectories(count: int = 16, vocabulary: int = 32, seed: int = 3) -> list[Trajectory]:
    """Trajectories of 3 to 12 tokens, some of them masked, ready for a step.

    The old log-probabilities lie so far from any model's that clipping happens.
    """
    random = torch.Generator().manual_seed(seed)
    trajectories = []
    for _ in range(count):
        prompt, response = torch.randint(1, 7, (2,), generator=random).tolist()
        response += 1
        mask = (torch.rand(response, generator=random) > 0.2).float()
        mask[0] = 1.0
        old = -torch.rand(response, generator=random) * 3 - 1.5
        trajectories.append(
            Trajectory(
                tokens=torch.randint(2, vocabulary, (prompt + response,), generator=random),
                prompt_length=prompt,
                loss_mask=mask,
                rollout_log_probs=old,
                old_log_probs=old,
                reference_log_probs=old - 0.1,
                advantages=torch.randn(1, generator=random).expand(response).clone(),
            )
        )
    return trajectories
