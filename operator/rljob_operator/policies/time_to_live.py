"""The time to live of a finished job."""

from datetime import timedelta

from rljob.api.run_policy import RunPolicySpec
from rljob_operator.state import Look


def left(look: Look, policy: RunPolicySpec) -> timedelta | None:
    """Time until the job is deleted, at most 0 once it is due; None: never."""
    seconds = policy.ttl_seconds_after_finished
    ended = look.status.completion_time
    if seconds is None or ended is None:
        return None
    return timedelta(seconds=seconds) - (look.now - ended)
