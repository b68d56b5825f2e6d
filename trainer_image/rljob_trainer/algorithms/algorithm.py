"""What a job learns by: the only place that puts the parts of an algorithm together."""

from rljob.api.algorithm import CriticSpec
from rljob.api.estimator import advantage_of
from rljob.api.rljob import RLJobSpec
from rljob_trainer.algorithms.advantages import Advantages
from rljob_trainer.algorithms.objective import Objective
from rljob_trainer.algorithms.value_objective import ValueObjective


class Algorithm:
    """The algorithm that a manifest describes: advantages, losses, and the models they need."""

    def __init__(self, job: RLJobSpec) -> None:
        """Reads the settings.

        Raises:
            UsageError: they ask for something that is not supported.
        """
        spec = job.algorithm
        longest = job.rollout.sampling.max_response_tokens
        kl = spec.kl
        is_limited = spec.limits.kl_to_reference is not None
        self.needs_reference = kl.loss_coefficient > 0 or kl.reward_coefficient > 0 or is_limited
        self.needs_critic = advantage_of(spec) == "gae"
        self.advantages = Advantages(spec)
        self.objective = Objective(spec, longest=longest)
        self.critic = spec.critic or CriticSpec()
        self.value_objective = ValueObjective(spec, longest=longest)
