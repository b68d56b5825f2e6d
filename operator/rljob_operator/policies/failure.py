"""The failure policy: a failed container fails the job, counts as a restart, or is ignored.

The kubelet restarts containers in place, with its own increasing delay. A failure counts against
`backoffLimit` until training makes new progress. Pods of one role often fail together because one
of them failed; so for each role, only the failures of the pod that failed most often count.
"""

from dataclasses import dataclass

from rljob.api.status import FailuresStatus, PodFailures
from rljob.errors import EXIT_USAGE
from rljob_operator.observed import Pod
from rljob_operator.policies.progress import count as counted
from rljob_operator.reason import Reason
from rljob_operator.state import WORKLOADS, State
from rljob_operator.words import ended


@dataclass(frozen=True, slots=True)
class Failures:
    """The result of the policy.

    Args:
        restarts: restarts since the job began.
        failures: counts to store in the status.
        reason: reason of the job's failure; None if it has not failed.
        message: the pod's message on the failure or the last restart; "" if there is none.
    """

    restarts: int
    failures: FailuresStatus
    reason: Reason | None
    message: str


def count(state: State) -> Failures:
    """Count the containers that ended since the last pass; each termination is counted once."""
    before = state.status.failures
    reached = max(before.reached, counted(state.report, "rollout") or 0)
    progress = reached > before.reached
    pods = {
        name: PodFailures(last=old.last, count=0 if progress else old.count)
        for name, old in before.pods.items()
        if _is_kept(state, name)
    }
    fatal = message = ""
    for pod in state.observed.pods:
        end = _end(pod)
        known = pods.get(pod.name)
        if not end or (known is not None and known.last == end):
            continue
        action = _action(state, pod)
        failed = known.count if known is not None else 0
        pods[pod.name] = PodFailures(last=end, count=failed + (action == "Restart"))
        said = f"{pod.name}: {ended(pod)}"
        if action == "FailJob":
            fatal = fatal or said
        elif action == "Restart":
            message = said
    recent = sum(_most(state, pods, role) for role in WORKLOADS)
    new = max(0, recent - (0 if progress else before.since_progress))
    failures = FailuresStatus(since_progress=recent, reached=reached, pods=pods)
    restarts = state.status.restarts + new
    if fatal:
        return Failures(restarts, failures, Reason.ROLE_FAILED, fatal)
    limit = state.job.spec.run_policy.backoff_limit
    if recent > limit:
        what = "failure" if recent == 1 else "failures"
        said = f"{recent} {what} without progress, allowed {limit}"
        last = f"; the last: {message}" if message else ""
        return Failures(restarts, failures, Reason.BACKOFF_LIMIT, said + last)
    return Failures(restarts, failures, None, message if new else "")


def _action(state: State, pod: Pod) -> str:
    assert pod.termination is not None
    code = pod.termination.exit_code
    if code == EXIT_USAGE:
        return "FailJob"
    for rule in state.job.spec.run_policy.failure:
        if rule.role in (None, pod.role) and code in rule.exit_codes:
            return rule.action
    if pod.role == "rollout" and state.ready("rollout"):
        return "Ignore"  # the other engines continue while this one is replaced
    return "Restart"


def _end(pod: Pod) -> str:
    """A unique id of a failed termination of a pod's container; "" if it has not failed."""
    termination = pod.termination
    if termination is None or termination.exit_code == 0:
        return ""
    if pod.deleting and termination.exit_code != EXIT_USAGE:
        return ""  # it was asked to stop
    if termination.at is not None:
        # Times are in whole seconds, in which a container may end twice.
        return f"{termination.at.isoformat()}, exit code {termination.exit_code}"
    return f"restart {pod.restarts} of {pod.uid}"


def _is_kept(state: State, name: str) -> bool:
    """Whether a pod's failures still count: it exists, or will be recreated under its name."""
    return any(
        kind == "StatefulSet" and name.startswith(f"{state.name}-{role}-")
        for role, kind in WORKLOADS.items()
    ) or any(pod.name == name for pod in state.observed.pods)


def _most(state: State, pods: dict[str, PodFailures], role: str) -> int:
    prefix = f"{state.name}-{role}-"
    return max((each.count for name, each in pods.items() if name.startswith(prefix)), default=0)
