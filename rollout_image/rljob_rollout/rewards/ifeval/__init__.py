"""Whether a response follows instructions that a program can verify, one file per family."""

from rljob_rollout.rewards.ifeval.reward import ifeval

__all__ = ["ifeval"]
