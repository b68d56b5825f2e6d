"""The trainer role: Megatron-core trains the policy; a ledger records every sample."""
