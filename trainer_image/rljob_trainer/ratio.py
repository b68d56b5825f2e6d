"""What the importance ratio of a batch starts from."""

from rljob.api.rljob import RLJobSpec
from rljob_trainer.trajectory import Trajectory

# In a step layers drop activations out; where log-probabilities are only computed they do not.
_DROPOUT = ("hidden_dropout", "attention_dropout")


def is_scored_in_step(spec: RLJobSpec) -> bool:
    """Whether the step's own forward pass gives the log-probabilities before the steps of a batch.

    With one step per batch they are of the same weights, so a pass of their own would find the same
    numbers. Where the ratio starts from them it is exactly 1, with the gradient of log p.
    """
    drops = any(spec.trainer.megatron.get(name) for name in _DROPOUT)
    return spec.schedule.steps_per_rollout == 1 and not drops


def with_start(trajectory: Trajectory, spec: RLJobSpec) -> Trajectory:
    """The trajectory with the log-probabilities that its ratio starts from.

    None where those are the trainer's and the step itself computes them.
    """
    from_engine = spec.algorithm.mismatch.old == "rollout"
    old = trajectory.rollout_log_probs if from_engine else trajectory.trainer_log_probs
    return trajectory.replace(old_log_probs=old)
