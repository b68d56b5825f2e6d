"""How long a job may be active; time in which it is suspended does not count."""

from datetime import timedelta

from rljob_operator.state import State


def active(state: State) -> timedelta:
    """Time for which the job has been active."""
    status = state.status
    before = timedelta(seconds=status.active_seconds)
    return before if status.active_since is None else before + (state.now - status.active_since)


def left(state: State) -> timedelta | None:
    """Time that the job has left; None: without end."""
    limit = state.job.spec.run_policy.active_deadline_seconds
    return None if limit is None else timedelta(seconds=limit) - active(state)
