"""The rollout role: a worker that leases prompts, generates with SGLang, scores and completes."""
