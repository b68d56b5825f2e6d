"""The reward hub: rewards by name."""

from rljob.api.rollout import RewardSpec
from rljob_rollout.rewards.hook import HookReward
from rljob_rollout.rewards.reward import Reward


def load_reward(spec: RewardSpec, field: str) -> Reward:
    """The reward that a job asks for.

    Args:
        spec: what is asked for.
        field: where in the manifest it is asked for, for errors.

    Raises:
        UsageError: a hook does not import.
    """
    return HookReward(spec.type, f"{field}.type", spec.timeout_seconds)
