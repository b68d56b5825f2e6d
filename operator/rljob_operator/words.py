"""A pod's state in words: why it is not ready, how its container ended."""

from rljob_operator.observed import Pod
from rljob_operator.reason import Reason

_IMAGE = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
)
_STARTING = ("", "ContainerCreating", "PodInitializing")


def trouble(pod: Pod) -> tuple[Reason, str] | None:
    """Why a pod is not ready, with Kubernetes' message; None if nothing is known.

    The reason stays the same while a container is restarted repeatedly.
    """
    if pod.ready:
        return None
    found = _trouble(pod)
    return None if found is None else (found[0], f"{pod.name}: {found[1]}")


def _trouble(pod: Pod) -> tuple[Reason, str] | None:
    failed = pod.termination is not None and pod.termination.exit_code != 0
    if pod.over:
        said = ": ".join(each for each in (pod.reason, pod.trouble) if each)
        reason = Reason.EVICTED if pod.reason == "Evicted" else Reason.POD_FAILED
        return reason, said or ended(pod) or pod.phase
    if pod.waiting == "CrashLoopBackOff" or (failed and pod.waiting in _STARTING):
        memory = pod.termination is not None and pod.termination.reason == "OOMKilled"
        looping = Reason.CRASH_LOOP if pod.waiting == "CrashLoopBackOff" else Reason.ERROR
        said = "; ".join(each for each in (ended(pod), pod.trouble) if each)
        return Reason.MEMORY if memory else looping, said
    if pod.waiting in _IMAGE:
        return Reason.IMAGE, pod.trouble or pod.waiting
    if pod.waiting not in _STARTING:
        return Reason.CONTAINER, pod.trouble or pod.waiting
    if pod.trouble and pod.phase == "Pending":
        return Reason.UNSCHEDULABLE, pod.trouble
    return None


def ended(pod: Pod) -> str:
    """How a pod's container ended last; "" if it has not."""
    if pod.termination is None:
        return ""
    reason = pod.termination.reason or "ended"
    said = f"{reason}, exit code {pod.termination.exit_code}"
    return f"{said}: {pod.termination.message}" if pod.termination.message else said
