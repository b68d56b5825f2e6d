"""The log-probabilities that a batch's importance ratio starts from."""

from rljob.api.rljob import RLJobSpec
from rljob_trainer.trajectories.trajectory import Trajectory

# Layers apply dropout in a training step, but not where log-probabilities are only computed.
_DROPOUT = ("hidden_dropout", "attention_dropout")


def is_scored_in_step(spec: RLJobSpec) -> bool:
    """Whether the step's own forward pass gives the log-probabilities before the batch's steps.

    With one step per batch they are of the same weights, so a separate pass would find the same
    numbers. A ratio that starts from them is exactly 1, with the gradient of log p.
    """
    drops = any(spec.trainer.megatron.get(name) for name in _DROPOUT)
    # What costs something by the policy's own log-probabilities needs them before the step.
    algorithm = spec.algorithm
    penalized = algorithm.kl.reward_coefficient > 0 or algorithm.distillation is not None
    return spec.schedule.steps_per_rollout == 1 and not drops and not penalized


def with_start(trajectory: Trajectory, spec: RLJobSpec) -> Trajectory:
    """Sets the log-probabilities that the trajectory's ratio starts from.

    None if those are the trainer's and the step itself computes them.
    """
    from_engine = spec.algorithm.mismatch.old == "rollout"
    old = trajectory.rollout_log_probs if from_engine else trajectory.trainer_log_probs
    return trajectory.replace(old_log_probs=old)
