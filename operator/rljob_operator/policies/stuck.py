"""Pods that block the rolling update of a StatefulSet.

Kubernetes replaces the pods of a StatefulSet one by one, and waits for a pod that is not ready even
if its outdated template can never become ready, e.g. because of a missing image or a wrong
argument. Its documentation ("forced rollback") says that the pod must be deleted manually.
"""

from rljob_operator.observed import Pod
from rljob_operator.state import WORKLOADS, Look


def stuck(look: Look) -> list[Pod]:
    """Pods with an outdated template that are not ready."""
    found: list[Pod] = []
    for role in WORKLOADS:
        workload = look.workload(role)
        if workload is None or not workload.owned or not workload.current:
            continue
        found += [
            pod
            for pod in look.pods(role)
            if not pod.ready and pod.revision and pod.revision != workload.revision
        ]
    return found
