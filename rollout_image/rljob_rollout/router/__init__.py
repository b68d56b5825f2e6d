"""The router role: one address for all engines of a job, by sglang-router."""
