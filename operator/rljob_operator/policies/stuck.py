"""Pods that keep a StatefulSet from its newest template.

Kubernetes replaces the pods of a StatefulSet one by one, and waits for one that is not ready, also
where it is of an earlier template that can never become so: an image that is not there, a wrong
argument. Its documentation ("forced rollback") leaves it to people to delete that pod.
"""

from rljob_operator.observed import Pod
from rljob_operator.state import WORKLOADS, Look


def stuck(look: Look) -> list[Pod]:
    """Pods of an earlier template that are not ready."""
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
