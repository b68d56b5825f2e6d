"""The PodMonitor, with which the Prometheus operator scrapes the job."""

from rljob_operator import names
from rljob_operator.children.wanted import Subject, Wanted, child

KIND = "monitoring.coreos.com/PodMonitor"


def pod_monitors(subject: Subject) -> list[Wanted]:
    """The PodMonitor, if that kind is installed in the cluster."""
    if KIND not in subject.cluster.kinds:
        return []
    body = {
        "spec": {
            "selector": {"matchLabels": {names.LABEL_JOB: subject.name}},
            "podTargetLabels": [names.LABEL_JOB, names.LABEL_ROLE],
            "podMetricsEndpoints": [{"port": "metrics"}],
        }
    }
    return [child(subject, "PodMonitor", "monitoring.coreos.com/v1", subject.name, body)]
