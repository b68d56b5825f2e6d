"""When a job that has ended is deleted."""

from datetime import timedelta

from rljob_operator.state import State


def left(state: State) -> timedelta | None:
    """Time until the job is deleted, at most 0 once it is due; None: never."""
    seconds = state.job.spec.run_policy.ttl_seconds_after_finished
    ended = state.status.completion_time
    if seconds is None or ended is None:
        return None
    return ended + timedelta(seconds=seconds) - state.now
