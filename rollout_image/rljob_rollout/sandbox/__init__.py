"""Runs a program that nobody has read, as any user, without privileges and without namespaces."""
