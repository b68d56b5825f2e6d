"""Weights on their way from the trainer into the engines."""
