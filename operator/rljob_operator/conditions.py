"""The conditions of a job."""

from datetime import datetime
from typing import Literal

from rljob.api.status import Condition, ConditionType, RLJobStatus
from rljob_operator.children import Want
from rljob_operator.observed import Pod
from rljob_operator.state import State, find

Status = Literal["True", "False", "Unknown"]


def told(
    status: RLJobStatus,
    condition: ConditionType,
    value: Status,
    reason: str,
    message: str,
    *,
    generation: int,
    now: datetime,
) -> RLJobStatus:
    """The status with one condition as it is now; its time changes only where its value does."""
    before = find(status, condition)
    since = before.last_transition_time if before is not None and before.status == value else now
    made = Condition(
        type=condition,
        status=value,
        reason=reason,
        message=message,
        observed_generation=generation,
        last_transition_time=since,
    )
    others = [each for each in status.conditions if each.type != condition]
    ordered = sorted([*others, made], key=lambda each: each.type)
    return status.model_copy(update={"conditions": ordered})


def of_the_pods(state: State, status: RLJobStatus, want: Want) -> RLJobStatus:
    """The status with the conditions that follow from pods and the trainer's report."""
    verdicts: dict[ConditionType, tuple[Status, str, str]] = {
        "Scheduled": _scheduled(state, want),
        "BufferReady": _buffer(state, want),
        "TrainerReady": _role(state, "trainer", want.trainer, want.trainer),
        "RolloutReady": _role(state, "rollout", min(1, want.rollout), want.rollout),
        "WeightsInSync": _weights(state),
    }
    for condition, (value, reason, message) in verdicts.items():
        status = told(
            status,
            condition,
            value,
            reason,
            message,
            generation=state.generation,
            now=state.now,
        )
    return status


def words(pod: Pod) -> str:
    """What keeps a pod from being ready, in its own words; "" where nothing is known."""
    if pod.trouble:
        said = pod.trouble
        if pod.termination is not None and pod.waiting == "CrashLoopBackOff":
            said = f"{ended(pod)}; {pod.waiting}"
    elif pod.reason:
        said = pod.reason
    elif pod.termination is not None and pod.termination.exit_code and not pod.ready:
        said = ended(pod)
    else:
        return ""
    return f"{pod.name}: {said}"


def ended(pod: Pod) -> str:
    """How a pod's container ended last, in words."""
    if pod.termination is None:
        return ""
    reason = pod.termination.reason or "ended"
    said = f"{reason}, exit code {pod.termination.exit_code}"
    return f"{said}: {pod.termination.message}" if pod.termination.message else said


def _scheduled(state: State, want: Want) -> tuple[Status, str, str]:
    wanted = want.trainer + want.rollout + want.buffer + want.router
    if not wanted:
        return "False", "AtRest", "no pods are wanted"
    pods = [pod for pod in state.observed.pods if not pod.deleting and not pod.over]
    stuck = [pod for pod in pods if pod.phase == "Pending" and not pod.ip and pod.trouble]
    stuck = [pod for pod in stuck if not pod.waiting]
    if stuck:
        return "False", "Unschedulable", words(stuck[0])
    if len(pods) < wanted:
        return "Unknown", "PodsMissing", f"{len(pods)} of {wanted} pods are there"
    return "True", "Scheduled", f"{len(pods)} pods have nodes"


def _buffer(state: State, want: Want) -> tuple[Status, str, str]:
    if state.job.spec.buffer.external is not None:
        return "True", "External", "the user's own server"
    return _role(state, "buffer", want.buffer, want.buffer)


def _role(state: State, role: str, needed: int, wanted: int) -> tuple[Status, str, str]:
    if not wanted:
        return "False", "AtRest", f"no {role} pods are wanted"
    ready = state.ready(role)
    count = f"{ready} of {wanted} ready"
    pods = state.pods(role)
    if ready < wanted:  # what has ended a pod says why one is missing
        pods += [pod for pod in state.observed.pods if pod.role == role and pod.over]
    troubles = [said for pod in pods if (said := words(pod))]
    message = f"{count}; {troubles[0]}" if troubles else count
    if ready >= needed:
        return "True", "Ready", message
    waiting = next((pod.waiting for pod in state.pods(role) if pod.waiting), "")
    return "False", waiting if waiting.isalpha() else "NotReady", message


def _weights(state: State) -> tuple[Status, str, str]:
    engines, version = state.report.get("engines"), state.report.get("weight_version")
    if not isinstance(engines, int) or not isinstance(version, int):
        return "Unknown", "NoReport", "the trainer has not told"
    ready = state.ready("rollout")
    message = f"{engines} engines hold version {version}"
    if engines and engines >= ready:
        return "True", "InSync", message
    return "False", "Lagging", f"{message}, {ready} are ready"
