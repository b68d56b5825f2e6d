"""Weights on a disk that trainer and engines share: how a version lies there."""
