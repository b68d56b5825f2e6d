"""Trajectories as tensors: micro-batches, padded batches, what a ratio starts from."""
