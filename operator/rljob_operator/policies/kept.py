"""Which pods stay when a job has ended, for their logs: spec.runPolicy.cleanPods."""

from rljob.api.run_policy import RunPolicySpec
from rljob_operator.observed import Pod
from rljob_operator.state import Look


def kept(look: Look, policy: RunPolicySpec, *, failed: bool) -> list[Pod]:
    """Pods to stop and keep; those kept before have no role any more, and are not among them.

    Args:
        look: the job, which has ended.
        policy: its run policy.
        failed: whether it has failed; otherwise it has succeeded.
    """
    ended = look.status.completion_time
    if policy.clean_pods == "All" or ended is None:
        return []
    # A workload replaces a pod that is kept until it is scaled down itself.
    pods = [
        pod
        for pod in look.observed.pods
        if not pod.deleting and not pod.over and (pod.created is None or pod.created < ended)
    ]
    if policy.clean_pods == "None":
        return pods
    return [pod for pod in pods if failed and _has_failed(pod)]


def _has_failed(pod: Pod) -> bool:
    """Whether its container ended with an error, and has not become ready since."""
    return not pod.ready and pod.termination is not None and pod.termination.exit_code != 0
