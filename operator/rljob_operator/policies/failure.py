"""What follows from a container that failed: the job fails, a restart is counted, or nothing.

Containers are started again in place by the kubelet, with its own growing delay. A restart counts
against `backoffLimit` until training makes progress again.
"""

from dataclasses import dataclass

from rljob.api.status import FailuresStatus
from rljob.errors import EXIT_USAGE
from rljob_operator.conditions import ended
from rljob_operator.observed import Pod
from rljob_operator.state import State


@dataclass(frozen=True, slots=True)
class Failures:
    """The verdict.

    Args:
        restarts: counted since the job began.
        failures: to be remembered.
        reason: of the job's failure, one word; "" while it goes on.
        message: the pod's own words, of the failure or the last restart; "" where there is none.
    """

    restarts: int
    failures: FailuresStatus
    reason: str
    message: str


def count(state: State) -> Failures:
    """Looks at what has ended since the last look; each end is seen once."""
    before = state.status.failures
    seen: dict[str, str] = {}
    total, recent, message = state.status.restarts, before.since_progress, ""
    if _progress(state) > state.status.progress.rollout:
        recent = 0
    for pod in state.observed.pods:
        end = _end(pod)
        if end:
            seen[pod.uid] = end
        if not end or before.seen.get(pod.uid) == end:
            continue
        said = f"{pod.name}: {ended(pod)}"
        match _action(state, pod):
            case "FailJob":
                return Failures(total, _made(recent, seen), "RoleFailed", said)
            case "Restart":
                total, recent, message = total + 1, recent + 1, said
    limit = state.job.spec.run_policy.backoff_limit
    if recent > limit:
        said = f"{recent} failures without progress, allowed {limit}; the last: {message}"
        return Failures(total, _made(recent, seen), "BackoffLimitExceeded", said)
    return Failures(total, _made(recent, seen), "", message)


def _action(state: State, pod: Pod) -> str:
    assert pod.termination is not None
    code = pod.termination.exit_code
    if code == EXIT_USAGE:
        return "FailJob"
    for rule in state.job.spec.run_policy.failure:
        if rule.role in (None, pod.role) and code in rule.exit_codes:
            return rule.action
    if pod.role == "rollout" and state.ready("rollout"):
        return "Ignore"  # the others go on; it is replaced
    return "Restart"


def _end(pod: Pod) -> str:
    """What tells a failed end of a pod's container from any other; "" where it has not failed."""
    termination = pod.termination
    if termination is None or termination.exit_code == 0:
        return ""
    if pod.deleting and termination.exit_code != EXIT_USAGE:
        return ""  # it was asked to go
    return termination.at.isoformat() if termination.at is not None else f"restart {pod.restarts}"


def _progress(state: State) -> int:
    rollout = state.report.get("rollout", 0)
    return rollout if isinstance(rollout, int) else 0


def _made(recent: int, seen: dict[str, str]) -> FailuresStatus:
    return FailuresStatus(since_progress=recent, seen=seen)
