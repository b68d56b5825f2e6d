"""Policies of reconciliation, one decision per file."""
