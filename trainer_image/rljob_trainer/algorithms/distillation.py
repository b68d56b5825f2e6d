"""On-policy distillation: a teacher judges each token of the student's own responses."""

from collections.abc import Sequence

import torch
from jaxtyping import Float32
from torch import Tensor

from rljob_trainer.trajectories.trajectory import Trajectory


def distilled(trajectories: Sequence[Trajectory], coefficient: float) -> list[Trajectory]:
    """The trajectories with what each token costs by the teacher taken from its advantage.

    The cost is the divergence KL(student || teacher) as the sampled token estimates it: log of the
    student's probability - of the teacher's (R. Agarwal et al., arXiv 2306.13649; as an advantage:
    K. Lu, "On-Policy Distillation", https://thinkingmachines.ai/blog/on-policy-distillation). It is
    taken after any whitening, as in slime (--opd-kl-coef), so that its scale stays in nats.

    Args:
        trajectories: with advantages, and the log-probabilities of trainer and teacher.
        coefficient: of the divergence, beside an advantage with coefficient 1.
    """
    found = []
    for one in trajectories:
        assert one.advantages is not None
        found.append(one.replace(advantages=one.advantages - coefficient * teacher_kl(one)))
    return found


def teacher_kl(trajectory: Trajectory) -> Float32[Tensor, " response"]:
    """The divergence from the teacher at each token, in nats; 0 where nothing is learned."""
    ours, teacher = trajectory.trainer_log_probs, trajectory.teacher_log_probs
    assert ours is not None and teacher is not None
    return (ours - teacher).where(trajectory.loss_mask > 0, 0)


def mean_teacher_kl(trajectories: Sequence[Trajectory]) -> float:
    """Its mean over the tokens that are learned; NaN, a gap in charts, if there are none."""
    kept = [teacher_kl(one)[one.loss_mask > 0] for one in trajectories]
    return torch.cat(kept).mean().item()
