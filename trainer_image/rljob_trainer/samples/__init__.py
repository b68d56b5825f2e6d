"""Samples on their way from the buffer into a batch."""
