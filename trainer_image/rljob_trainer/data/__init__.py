"""Prompts on their way from the user's files to groups."""
