"""Processes of the trainer: how they start, meet and stop."""
