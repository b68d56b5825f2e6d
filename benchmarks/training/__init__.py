"""Optimizer steps without a job around them."""
