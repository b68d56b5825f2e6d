"""What every role tells: logs, metrics, status, and the reason of its end."""
