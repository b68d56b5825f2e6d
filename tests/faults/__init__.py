"""Faults between operator and API server, and what users do wrong."""
