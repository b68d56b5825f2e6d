"""The active deadline of a job; suspended time does not count."""

from datetime import timedelta

from rljob.api.run_policy import RunPolicySpec
from rljob_operator.state import Look


def active(look: Look) -> timedelta:
    """Time for which the job has been active."""
    status = look.status
    before = timedelta(seconds=status.active_seconds)
    if status.active_since is None:
        return before
    # Another machine's clock may be ahead.
    return before + max(look.now - status.active_since, timedelta(0))


def left(look: Look, policy: RunPolicySpec) -> timedelta | None:
    """Time that the job has left; None: no limit."""
    limit = policy.active_deadline_seconds
    return None if limit is None else timedelta(seconds=limit) - active(look)
