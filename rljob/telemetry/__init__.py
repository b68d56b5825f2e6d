"""Observability of every role: logs, metrics, status, and the reason of a failure."""
