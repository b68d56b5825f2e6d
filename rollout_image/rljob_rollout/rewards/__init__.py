"""Rewards: functions that judge one response.

A reward is called with a RewardInput and returns a finite number, or a dict with the number under
"reward" and further values that are kept with the sample as its metadata.
"""

from rljob_rollout.rewards.hub import NAMES, Reward, load_reward
from rljob_rollout.rewards.sample import RewardInput

__all__ = ["NAMES", "Reward", "RewardInput", "load_reward"]
