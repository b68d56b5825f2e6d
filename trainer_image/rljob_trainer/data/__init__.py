"""Turns prompts from the user's files into groups."""
