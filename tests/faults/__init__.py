"""Faults between operator and API server, and mistakes of users."""
