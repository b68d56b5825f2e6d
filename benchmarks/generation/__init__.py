"""Parts of benchmarks/rollout.py."""
