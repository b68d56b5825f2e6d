"""The judging of responses."""

from rljob_rollout.rewards.registry import load_reward
from rljob_rollout.rewards.reward import Reward, RewardFailed, RewardInput

__all__ = ["Reward", "RewardFailed", "RewardInput", "load_reward"]
