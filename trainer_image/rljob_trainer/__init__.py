"""The trainer role: Megatron-core trains the policy and owns the truth about every sample."""
