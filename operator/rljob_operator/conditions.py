"""The conditions of a job."""

from typing import Literal

from rljob.api.status import Condition, ConditionType, RLJobStatus
from rljob_operator.children import Want
from rljob_operator.observed import Denial
from rljob_operator.policies.progress import count
from rljob_operator.reason import Reason
from rljob_operator.state import WORKLOADS, Look, find
from rljob_operator.words import trouble

Status = Literal["True", "False", "Unknown"]
Verdict = tuple[Status, Reason, str]
_DONE = {
    "apply": "applied",
    "create": "created",
    "scale": "scaled down",
    "delete": "deleted",
    "change": "changed",
}
_QUOTA = ("exceeded quota", "failed quota")
_OBSTACLES: tuple[ConditionType, ...] = (
    "Failed",
    "Accepted",
    "Permitted",
    "Scheduled",
    "BufferReady",
    "TrainerReady",
    "RolloutReady",
)
_NO_OBSTACLE = (Reason.AT_REST, Reason.NOT_READY)
_SAYS_WHY = "; "  # between the number of pods and why there are not more
_LONGEST = 32768  # characters of a message, the limit of Kubernetes' own conditions


def told(
    look: Look, status: RLJobStatus, condition: ConditionType, verdict: Verdict
) -> RLJobStatus:
    """The status with one condition updated; its time changes only if its value does."""
    value, reason, message = verdict
    before = find(look.status, condition)
    since = look.now
    if before is not None and before.status == value:
        since = before.last_transition_time
    made = Condition(
        type=condition,
        status=value,
        reason=reason.value,
        message=message[:_LONGEST],
        observed_generation=look.generation,
        last_transition_time=since,
    )
    others = [each for each in status.conditions if each.type != condition]
    ordered = sorted([*others, made], key=lambda each: each.type)
    return status.model_copy(update={"conditions": ordered})


def permitted(look: Look, status: RLJobStatus) -> RLJobStatus:
    """The status with the condition whether the API server permits and does what is asked."""
    denials = [each for each in look.observed.denials if not each.fresh]
    if not denials:
        return told(look, status, "Permitted", ("True", Reason.PERMITTED, ""))
    lines = [
        f"{each.ref.kind} {each.ref.name} is not {_DONE[each.verb]}: {each.message}"
        for each in denials
    ]
    lasting = [each for each in denials if not each.passing]
    value: Status = "False" if lasting else "Unknown"
    reason = _reason(lasting[0]) if lasting else Reason.REQUEST_FAILED
    return told(look, status, "Permitted", (value, reason, "\n".join(lines)))


def _reason(denial: Denial) -> Reason:
    """From the server's words: all of these have the code of a missing right."""
    if any(words in denial.message for words in _QUOTA):
        return Reason.QUOTA
    return Reason.WEBHOOK if "failed calling webhook" in denial.message else Reason.FORBIDDEN


def main_reason(status: RLJobStatus) -> str:
    """Reason of the first condition that keeps a job from running; "": there is none."""
    for kind in _OBSTACLES:
        condition = find(status, kind)
        if condition is None or condition.reason in _NO_OBSTACLE:
            continue
        if condition.status == ("True" if kind == "Failed" else "False"):
            return condition.reason
        if condition.reason == Reason.REQUEST_FAILED:
            return condition.reason
        if says_why_pods_miss(condition):
            return condition.reason
    return ""


def says_why_pods_miss(condition: Condition) -> bool:
    """Whether a condition quotes why pods could not be created."""
    return condition.reason == Reason.PODS_MISSING and _SAYS_WHY in condition.message


def of_the_pods(
    look: Look, status: RLJobStatus, want: Want, *, external_buffer: bool
) -> RLJobStatus:
    """The status with the conditions that follow from pods and the trainer's report.

    Args:
        look: the observed job.
        status: the status so far.
        want: replicas that must run now.
        external_buffer: whether the job uses the user's own server.
    """
    verdicts: dict[ConditionType, Verdict | None] = {
        "Scheduled": _scheduled(look, want),
        "BufferReady": ("True", Reason.EXTERNAL, "the user's own server")
        if external_buffer
        else _role(look, "buffer", want.buffer, want.buffer),
        "TrainerReady": _role(look, "trainer", want.trainer, want.trainer),
        "RolloutReady": _role(look, "rollout", min(1, want.rollout), want.rollout),
        "WeightsInSync": _weights(look, want),
    }
    for condition, verdict in verdicts.items():
        if verdict is not None:
            status = told(look, status, condition, verdict)
    return status


def _scheduled(look: Look, want: Want) -> Verdict:
    wanted = want.trainer + want.rollout + want.buffer + want.router
    if not wanted:
        return "False", Reason.AT_REST, "no pods are wanted"
    pods = [pod for role in WORKLOADS for pod in look.pods(role)]
    for pod in pods:
        found = trouble(pod)
        if found is not None and found[0] == Reason.UNSCHEDULABLE:
            return "False", *found
    if len(pods) < wanted:
        troubles = [child.trouble for child in look.observed.children.values() if child.trouble]
        message = _SAYS_WHY.join([f"{len(pods)} of {wanted} pods exist", *troubles[:1]])
        return "Unknown", Reason.PODS_MISSING, message
    return "True", Reason.SCHEDULED, f"{len(pods)} pods are scheduled"


def _role(look: Look, role: str, needed: int, wanted: int) -> Verdict:
    if not wanted:
        return "False", Reason.AT_REST, f"no {role} pods are wanted"
    ready = look.ready(role)
    count = f"{ready} of {wanted} ready"
    pods = look.pods(role)
    if ready < wanted:  # a pod that has ended may explain why one is missing
        pods += [pod for pod in look.observed.pods if pod.role == role and pod.over]
    troubles = [found for pod in pods if (found := trouble(pod)) is not None]
    message = f"{count}; {troubles[0][1]}" if troubles else count
    if ready >= needed:
        return "True", Reason.READY, message
    return "False", troubles[0][0] if troubles else Reason.NOT_READY, message


def _weights(look: Look, want: Want) -> Verdict | None:
    """The WeightsInSync condition; None: keep the last one, while a report is missing."""
    if not (want.trainer and want.rollout):
        return "False", Reason.AT_REST, "no engines are wanted"
    engines, version = count(look.report, "engines"), count(look.report, "weight_version")
    if engines is None or version is None:
        known = find(look.status, "WeightsInSync")
        if look.ready("trainer") and not look.report and known is not None:
            return None
        return "Unknown", Reason.NO_REPORT, "the trainer has not reported yet"
    ready = look.ready("rollout")
    message = f"{engines} {'engine holds' if engines == 1 else 'engines hold'} version {version}"
    if engines and engines >= ready:
        return "True", Reason.IN_SYNC, message
    return "False", Reason.LAGGING, f"{message}, {ready} are ready"
